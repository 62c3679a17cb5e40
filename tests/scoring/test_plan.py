"""What is computed, under which name it is kept, and what that costs."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memscope.errors import ModelError
from memscope.prompt import Prompt
from memscope.scoring.plan import Plan, each_alone
from tests.scoring.prompts import Stretch, prompt_of, prompts

MEMORIES = 4
AMPLE = 10_000
HEADER, SAID = Stretch(1), Stretch(4, response=True)


def owned(prompt: Prompt, memory: int) -> list[int]:
    """The positions of a memory's tokens."""
    return [at for at, owner in enumerate(prompt.memory.tolist()) if owner == memory]


@given(prompts(MEMORIES))
def test_costs_are_those_of_the_definitions(prompt: Prompt) -> None:
    total = len(prompt.ids)
    places = [owned(prompt, memory) for memory in range(MEMORIES)]
    lengths = [(place[0], len(place)) for place in places if place]
    plan = Plan(prompt, each_alone(MEMORIES), AMPLE)
    assert plan.cost.tokens_naive == total + sum(total - length for _, length in lengths if total)
    assert plan.cost.tokens_needed == total + sum(total - start - length for start, length in lengths)


@given(prompts(MEMORIES))
def test_an_ablation_is_the_prompt_without_the_memorys_tokens(prompt: Prompt) -> None:
    plan = Plan(prompt, each_alone(MEMORIES), AMPLE)
    for ablation in plan.ablations:
        request = plan.request(ablation, ablation.responses)
        removed = [] if ablation.row is None else owned(prompt, ablation.row)
        left = [at for at in range(len(prompt.ids)) if at not in removed]
        scored = [left.index(int(at)) for response in ablation.responses for at in prompt.responses[response]]
        assert np.concatenate(request.spans).tolist() == scored
        assert request.ids.tolist() == prompt.ids[left].tolist()[: scored[-1] + 1]
        assert request.keep is (ablation.row is None)
        assert ablation.shared == (removed[0] if removed else 0)
        assert ablation.removed == len(removed)


@given(prompts(MEMORIES))
def test_a_cell_is_possible_where_the_memory_enters_before_the_response(prompt: Prompt) -> None:
    expected = [
        [bool(span.size) and any(at < span[0] for at in owned(prompt, memory)) for span in prompt.responses]
        for memory in range(MEMORIES)
    ]
    assert Plan(prompt, each_alone(MEMORIES), AMPLE).possible().tolist() == expected


@given(prompts(MEMORIES), st.data())
def test_a_request_for_some_responses_ends_with_the_last_of_them(prompt: Prompt, data: st.DataObject) -> None:
    plan = Plan(prompt, each_alone(MEMORIES), AMPLE)
    for ablation in plan.ablations:
        wanted = data.draw(st.lists(st.sampled_from(ablation.responses), min_size=1, unique=True))
        whole = plan.request(ablation, ablation.responses)
        part = plan.request(ablation, wanted)
        assert len(part.ids) == max(span[-1] for span in part.spans) + 1
        assert part.ids.tolist() == whole.ids[: len(part.ids)].tolist()
        for response, span in zip(wanted, part.spans, strict=True):
            assert span.tolist() == whole.spans[ablation.responses.index(response)].tolist()


def test_a_baseline_wanted_for_its_prefix_alone_reaches_as_far_as_asked() -> None:
    prompt = prompt_of(0, [HEADER], [[Stretch(3, 0)], [HEADER, SAID], [HEADER, SAID]])
    plan = Plan(prompt, each_alone(1), AMPLE)
    assert len(plan.request(plan.ablations[0], (), 7).ids) == 7
    assert len(plan.request(plan.ablations[0], (0,), 7).ids) == 9
    assert plan.request(plan.ablations[0], (), 7).spans == ()


@given(prompts(MEMORIES))
def test_a_key_is_the_hash_of_fingerprint_ids_and_positions(prompt: Prompt) -> None:
    plan = Plan(prompt, each_alone(MEMORIES), AMPLE)
    for ablation in plan.ablations:
        for response, key in plan.keys(ablation, "some model").items():
            request = plan.request(ablation, (response,))
            content = b"some model\0" + request.ids.tobytes() + request.spans[0].astype(np.int64).tobytes()
            assert key == hashlib.sha256(content).digest()


def test_a_key_changes_with_the_model_the_text_before_and_the_scored_positions() -> None:
    prompt = prompt_of(0, [HEADER], [[HEADER, Stretch(5)], [HEADER, SAID], [HEADER, SAID]])

    def key(prompt: Prompt, fingerprint: str = "a") -> bytes:
        plan = Plan(prompt, each_alone(0), AMPLE)
        return plan.keys(plan.ablations[0], fingerprint)[0]

    ids = prompt.ids.copy()
    ids[2] += 1
    later = prompt.ids.copy()
    later[-1] += 1
    fewer = (prompt.responses[0][1:], prompt.responses[1])
    names = [
        key(prompt),
        key(prompt, "b"),
        key(replace(prompt, ids=ids)),
        key(replace(prompt, responses=fewer)),
    ]
    assert len(set(names)) == len(names)
    assert key(replace(prompt, ids=later)) == key(prompt)


@given(prompts(MEMORIES), st.lists(st.sampled_from([(2, -1), (3, 0), (2, MEMORIES)]), max_size=3))
def test_a_grown_conversation_keeps_every_old_key(prompt: Prompt, more: list[tuple[int, int]]) -> None:
    length = len(prompt.ids)
    tokens = sum(count for count, _ in more) + 5
    last = int(prompt.turn[-1]) if length else -1
    turns = [last + 1 + at for at, (count, _) in enumerate(more) for _ in range(count)] + [last + 9] * 5
    grown = Prompt(
        ids=np.append(prompt.ids, np.arange(tokens, dtype=np.int32)),
        memory=np.append(
            prompt.memory, np.array([m for count, m in more for _ in range(count)] + [-1] * 5, np.int32)
        ),
        entry=np.append(prompt.entry, np.array(turns, np.int32)),
        turn=np.append(prompt.turn, np.array(turns, np.int32)),
        context=np.append(prompt.context, np.zeros(tokens, np.int32)),
        head=np.append(prompt.head, np.zeros(tokens, np.bool_)),
        responses=(*prompt.responses, np.arange(length + tokens - 4, length + tokens)),
        text="",
        ends=np.arange(length + tokens),
        differing=0,
    )
    old, new = Plan(prompt, each_alone(MEMORIES), AMPLE), Plan(grown, each_alone(MEMORIES + 1), AMPLE)
    known = {key for ablation in new.ablations for key in new.keys(ablation, "m").values()}
    assert {key for ablation in old.ablations for key in old.keys(ablation, "m").values()} <= known


@given(prompts(MEMORIES), st.data())
def test_tokens_to_compute_are_those_of_the_requests_that_remain(prompt: Prompt, data: st.DataObject) -> None:
    plan = Plan(prompt, each_alone(MEMORIES), data.draw(st.sampled_from([AMPLE, len(prompt.ids) + 1])))
    shape = MEMORIES, len(prompt.responses)
    chance = np.random.default_rng(data.draw(st.integers(0, 1000)))
    missing = plan.possible() & (chance.random(shape) < 0.3)
    unknown = chance.random(shape[1]) < 0.3
    total = 0
    for baseline, *rows in plan.of_window:
        reach = 0
        for row in rows:
            wanted = [response for response in row.responses if missing[row.row, response]]
            if wanted:
                total += len(plan.request(row, wanted).ids) - row.shared
                reach = max(reach, row.shared)
        wanted = [response for response in baseline.responses if unknown[response]]
        if wanted or reach:
            total += len(plan.request(baseline, wanted, reach).ids)
    assert plan.tokens_to_compute(missing, unknown) == total


@given(prompts(MEMORIES))
def test_nothing_known_costs_the_whole_plan_and_everything_known_nothing(prompt: Prompt) -> None:
    plan = Plan(prompt, each_alone(MEMORIES), AMPLE)
    possible, responses = plan.possible(), np.ones(len(prompt.responses), np.bool_)
    assert plan.tokens_to_compute(possible, responses) == plan.cost.tokens_needed
    assert plan.tokens_to_compute(~possible & False, ~responses) == 0


class TestContexts:
    """A conversation that was compacted or reset."""

    @staticmethod
    def planned(data: st.DataObject) -> tuple[Prompt, int, Plan]:
        """A prompt of several contexts, a context length that may be shorter than some, and its plan."""
        prompt = data.draw(prompts(MEMORIES, longest=20, contexts=True).filter(lambda p: len(p.ids) > 0))
        head = int(prompt.head.sum())
        length = data.draw(st.integers(head + 1, len(prompt.ids) + 1) | st.just(AMPLE))
        return prompt, length, Plan(prompt, each_alone(MEMORIES), length)

    @given(st.data())
    def test_a_window_lies_in_the_context_of_its_responses_but_for_the_head(
        self, data: st.DataObject
    ) -> None:
        prompt, _, plan = self.planned(data)
        for window in plan.windows:
            (context,) = {int(prompt.context[at]) for r in window.responses for at in prompt.responses[r]}
            inside = window.tokens[~prompt.head[window.tokens]]
            assert set(prompt.context[inside].tolist()) == {context}

    @given(st.data())
    def test_each_context_is_scored_as_a_conversation_of_its_own(self, data: st.DataObject) -> None:
        prompt, length, plan = self.planned(data)
        found = [(w.tokens.tolist(), w.responses, w.left_out) for w in plan.windows]
        expected, possible, too_long = [], np.zeros((MEMORIES, len(prompt.responses)), np.bool_), []
        for context in dict.fromkeys(prompt.context.tolist()):
            kept = np.flatnonzero(prompt.head | (prompt.context == context))
            mine = [r for r, span in enumerate(prompt.responses) if set(prompt.context[span]) == {context}]
            if not mine:
                continue
            alone = Plan(
                replace(
                    prompt,
                    ids=prompt.ids[kept],
                    memory=prompt.memory[kept],
                    entry=prompt.entry[kept],
                    turn=prompt.turn[kept],
                    context=np.zeros(len(kept), np.int32),
                    head=prompt.head[kept],
                    responses=tuple(np.searchsorted(kept, prompt.responses[r]) for r in mine),
                ),
                each_alone(MEMORIES),
                length,
            )
            expected += [
                (kept[w.tokens].tolist(), tuple(mine[r] for r in w.responses), w.left_out)
                for w in alone.windows
            ]
            possible[:, mine] = alone.possible()
            too_long += [mine[r] for r in alone.too_long]
        assert found == expected
        assert plan.possible().tolist() == possible.tolist()
        assert list(plan.too_long) == too_long

    def test_a_memory_has_cells_in_its_own_context_and_one_in_the_system_prompt_in_all(self) -> None:
        turns = [[Stretch(2, 1)], [HEADER, SAID], [Stretch(2, 2)], [HEADER, SAID], [HEADER, SAID]]
        plan = Plan(prompt_of(1, [HEADER, Stretch(2, 0)], turns, cuts=[2, 4]), each_alone(3), AMPLE)
        assert plan.possible().tolist() == [[True, True, True], [True, False, False], [False, True, False]]
        assert [window.left_out for window in plan.windows] == [(), (), ()]


class TestWindows:
    """A conversation longer than the model's context."""

    @staticmethod
    def fitting(data: st.DataObject) -> tuple[Prompt, int, Plan]:
        """A prompt, a context shorter than it and its plan."""
        prompt = data.draw(prompts(MEMORIES, longest=20).filter(lambda p: len(p.ids) > int(p.head.sum()) + 1))
        head = int(prompt.head.sum())
        context = data.draw(st.integers(head + 1, len(prompt.ids)))
        return prompt, context, Plan(prompt, each_alone(MEMORIES), context)

    @given(st.data())
    def test_each_response_is_scored_once_or_reported_as_too_long(self, data: st.DataObject) -> None:
        prompt, _, plan = self.fitting(data)
        scored = [response for window in plan.windows for response in window.responses]
        every = [response for response, span in enumerate(prompt.responses) if span.size]
        assert sorted([*scored, *plan.too_long]) == every
        assert scored == sorted(scored)

    @given(st.data())
    def test_a_window_fits_keeps_the_head_and_ends_at_its_last_response(self, data: st.DataObject) -> None:
        prompt, context, plan = self.fitting(data)
        for window in plan.windows:
            tokens = window.tokens.tolist()
            end = int(prompt.responses[window.responses[-1]][-1]) + 1
            assert len(tokens) <= context
            assert tokens == sorted(set(tokens))
            assert tokens[-1] + 1 == end
            assert set(np.flatnonzero(prompt.head[:end]).tolist()) <= set(tokens)
            for response in window.responses:
                assert set(prompt.responses[response].tolist()) <= set(tokens)

    @given(st.data())
    def test_a_window_reaches_back_by_whole_turns_as_far_as_fits(self, data: st.DataObject) -> None:
        prompt, context, plan = self.fitting(data)
        for window in plan.windows:
            inside = set(window.tokens.tolist())
            end = max(inside) + 1
            outside = [at for at in range(end) if at not in inside]
            if not outside:
                continue
            assert outside == [at for at in range(max(outside) + 1) if not prompt.head[at]]
            last_turn = prompt.turn[max(outside)]
            assert not any(prompt.turn[at] == last_turn for at in inside if not prompt.head[at])
            turn = sum(prompt.turn[at] == last_turn and not prompt.head[at] for at in range(end))
            assert len(inside) + turn > context

    @given(st.data())
    def test_a_response_is_too_long_only_if_its_turn_does_not_fit_beside_the_head(
        self, data: st.DataObject
    ) -> None:
        prompt, context, plan = self.fitting(data)
        for response, span in enumerate(prompt.responses):
            if span.size:
                end = int(span[-1]) + 1
                own = np.flatnonzero((prompt.turn[:end] == prompt.turn[span[0]]) | prompt.head[:end])
                assert (response in plan.too_long) == (len(own) > context)

    @given(st.data())
    def test_the_first_response_of_a_window_sees_what_it_could_or_half_of_what_fits(
        self, data: st.DataObject
    ) -> None:
        prompt, context, plan = self.fitting(data)
        room = context - int(prompt.head.sum())
        for window in plan.windows:
            begins = int(prompt.responses[window.responses[0]][0])
            end = int(prompt.responses[window.responses[0]][-1]) + 1
            seen = sum(at < begins and not prompt.head[at] for at in window.tokens.tolist())
            alone = Plan(
                replace(
                    prompt,
                    ids=prompt.ids[:end],
                    memory=prompt.memory[:end],
                    entry=prompt.entry[:end],
                    turn=prompt.turn[:end],
                    context=prompt.context[:end],
                    head=prompt.head[:end],
                    responses=prompt.responses[window.responses[0] : window.responses[0] + 1],
                ),
                each_alone(MEMORIES),
                context,
            )
            most = sum(at < begins and not prompt.head[at] for at in alone.windows[0].tokens.tolist())
            assert seen == most or seen >= room // 2

    @given(st.data())
    def test_a_window_ends_only_where_one_more_response_would_leave_its_first_too_little(
        self, data: st.DataObject
    ) -> None:
        prompt, context, plan = self.fitting(data)
        room = context - int(prompt.head.sum())
        starts = [at for at in range(len(prompt.ids)) if at == 0 or prompt.turn[at] != prompt.turn[at - 1]]
        for window, following in zip(plan.windows, plan.windows[1:], strict=False):
            if following.responses[0] != window.responses[-1] + 1:
                continue  # a response that is too long lies between
            begins = int(prompt.responses[window.responses[0]][0])
            end = int(prompt.responses[following.responses[0]][-1]) + 1
            start = next(at for at in starts if int(prompt.head[:at].sum()) + end - at <= context)
            assert sum(not prompt.head[at] for at in range(start, begins)) < room // 2

    @given(st.data())
    def test_left_out_are_the_entries_before_the_end_of_which_nothing_is_in_the_window(
        self, data: st.DataObject
    ) -> None:
        prompt, _, plan = self.fitting(data)
        for window in plan.windows:
            inside = {int(prompt.entry[at]) for at in window.tokens}
            before = {int(entry) for entry in prompt.entry[: window.tokens[-1] + 1] if entry >= 0}
            assert window.left_out == tuple(sorted(before - inside))

    @given(st.data())
    def test_a_memory_outside_a_responses_window_is_impossible_for_it(self, data: st.DataObject) -> None:
        prompt, _, plan = self.fitting(data)
        possible = np.zeros((MEMORIES, len(prompt.responses)), np.bool_)
        for window in plan.windows:
            for response in window.responses:
                for memory in range(MEMORIES):
                    places = set(owned(prompt, memory)) & set(window.tokens.tolist())
                    first = prompt.responses[response][0]
                    possible[memory, response] = any(place < first for place in places)
        assert plan.possible().tolist() == possible.tolist()

    @given(st.data())
    def test_ablations_remove_the_memory_from_the_window_alone(self, data: st.DataObject) -> None:
        prompt, _, plan = self.fitting(data)
        for ablation in plan.ablations:
            tokens = plan.windows[ablation.window].tokens.tolist()
            left = [at for at in tokens if ablation.row is None or prompt.memory[at] != ablation.row]
            request = plan.request(ablation, ablation.responses)
            assert request.ids.tolist() == prompt.ids[left].tolist()[: len(request.ids)]
            assert left[: ablation.shared] == tokens[: ablation.shared]
            assert ablation.removed == len(tokens) - len(left)
            for response, span in zip(ablation.responses, request.spans, strict=True):
                assert [left[at] for at in span] == prompt.responses[response].tolist()

    def test_everything_that_fits_is_one_window_that_leaves_nothing_out(self) -> None:
        prompt = prompt_of(1, [HEADER], [[HEADER, SAID], [Stretch(3, 0)], [HEADER, SAID]])
        (window,) = Plan(prompt, each_alone(1), len(prompt.ids)).windows
        assert window.tokens.tolist() == list(range(len(prompt.ids)))
        assert window.responses == (0, 1)
        assert window.left_out == ()

    def test_a_long_conversation_costs_about_twice_its_tokens(self) -> None:
        prompt = prompt_of(0, [Stretch(10)], [[HEADER, Stretch(9, response=True)]] * 1000)
        assert 1.5 < Plan(prompt, each_alone(0), 1000).cost.tokens_needed / len(prompt.ids) < 2.5

    def test_a_system_prompt_longer_than_the_context_is_one_sentence(self) -> None:
        prompt = prompt_of(0, [Stretch(20)], [[HEADER, SAID]])
        with pytest.raises(
            ModelError, match=r"^The system prompt has 20 tokens and the model's context holds 12; use"
        ):
            Plan(prompt, each_alone(0), 12)


def test_a_response_without_tokens_has_no_cell_and_no_span() -> None:
    prompt = prompt_of(0, [HEADER], [[Stretch(2, 0)], [HEADER, Stretch(0, response=True)], [HEADER, SAID]])
    plan = Plan(prompt, each_alone(1), AMPLE)
    assert plan.possible().tolist() == [[False, True]]
    assert plan.windows[0].responses == (1,)


def test_a_prompt_without_responses_has_nothing_to_compute() -> None:
    plan = Plan(prompt_of(1, [Stretch(3, 0)], []), each_alone(1), AMPLE)
    assert plan.ablations == []
    assert plan.possible().shape == (1, 0)
    assert (plan.cost.tokens_naive, plan.cost.tokens_needed) == (0, 0)


@given(prompts(MEMORIES), st.data())
def test_a_column_has_another_origin_where_any_token_or_its_memory_was_another(
    prompt: Prompt, data: st.DataObject
) -> None:
    assume(len(prompt.ids))
    scored = [response for response, span in enumerate(prompt.responses) if span.size]
    before = Plan(prompt, each_alone(MEMORIES), AMPLE).origins("a model")
    at = data.draw(st.integers(0, len(prompt.ids) - 1))
    changed = getattr(prompt, field := data.draw(st.sampled_from(["ids", "memory"]))).copy()
    changed[at] += 1
    after = Plan(replace(prompt, **{field: changed}), each_alone(MEMORIES + 1), AMPLE).origins("a model")
    differ = [response for response in scored if (before[response] != after[response]).any()]
    assert differ == [response for response in scored if prompt.responses[response][-1] >= at]


@given(prompts(MEMORIES))
def test_a_column_has_another_origin_with_another_model_and_none_where_it_is_not_scored(
    prompt: Prompt,
) -> None:
    plan = Plan(prompt, each_alone(MEMORIES), AMPLE)
    for one, other, span in zip(plan.origins("a"), plan.origins("b"), prompt.responses, strict=True):
        assert one.any() == other.any() == bool(span.size)
        assert (one != other).any() == bool(span.size)
