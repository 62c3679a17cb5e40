"""Fidelity: figures held against plain computations, scorers whose answer is known, and what goes wrong."""

import asyncio
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from memscope.activity import ActivityState
from memscope.conversation.model import Conversation
from memscope.errors import MemscopeError, ScorerError
from memscope.prompt import build_prompt
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.fidelity import (
    DRAWS,
    PAIRS,
    SAMPLE,
    Fidelity,
    FidelityPlan,
    measure_fidelity,
    plan_fidelity,
)
from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session
from tests.scorers_fake import HashScorer, WordTokenizer, conversation, hash_logprobs, prepared
from tests.scoring.talks import close, turns

NAMES = ("anna", "bert", "cleo", "dora", "emil", "fred", "gina")
SPREAD = turns(*NAMES[:6])
"""Six memories, each before a response of its own: response r sees r + 1 of them."""
FRONT = conversation(
    ("system", "You plan trips."),
    *((name, f"What only {name} knows about {name}.") for name in NAMES),
    *(
        (who, f"{text} {number}.")
        for number in range(4)
        for who, text in (("user", "And"), ("assistant", "So"))
    ),
)
"""Seven memories before four responses."""

Effect = Callable[[frozenset[str]], float]
"""The log-probability of a response by which memories it sees."""


def by_memories(effect: Effect) -> HashScorer:
    """A scorer whose log-probability of a response says which memories stand before it, and nothing else."""

    def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
        before = "".join(request.texts[: int(request.spans[score.span][0])])
        logprobs = np.zeros(len(score.logprobs), np.float32)
        logprobs[0] = effect(frozenset(name for name in NAMES if name in before))
        return SpanScore(score.span, logprobs)

    return HashScorer(answer=answer)


def linear(present: frozenset[str]) -> float:
    """Each memory adds its own, whatever else is there."""
    return -40 + sum(2.0 ** NAMES.index(name) / 4 for name in present)


def planted(present: frozenset[str]) -> float:
    """`bert` and `fred` say the same: one of them is enough. The others add a little."""
    return linear(present & {"anna", "cleo", "dora"}) + (6 if present & {"bert", "fred"} else 0)


async def measured(
    session: Session, *, masks: int = 32, seed: int = 0, fresh: bool = False
) -> tuple[FidelityPlan, Fidelity]:
    """A session scored, and its fidelity planned and measured."""
    async for _ in session.score(fresh=fresh):
        pass
    plan = await plan_fidelity(session, masks=masks, seed=seed, fresh=fresh)
    return plan, await measure_fidelity(session, plan)


def fidelity_of(
    talk: Conversation, cache: Path, scorer: HashScorer | None = None, *, masks: int = 32, seed: int = 0
) -> Fidelity:
    session = prepared(talk, cache, scorer)
    _, result = asyncio.run(measured(session, masks=masks, seed=seed))
    session.close()
    return result


def drop(talk: Conversation, memories: Iterable[int], response: int) -> float:
    """By removing tokens one by one: how much less probable a response is without these memories."""
    prompt = build_prompt(talk, WordTokenizer())
    out, positions = set(memories), prompt.responses[response]
    kept = [at for at, owner in enumerate(prompt.memory.tolist()) if owner not in out]
    without = dict(zip(kept, hash_logprobs(prompt.ids[kept]).tolist(), strict=True))
    with_all = hash_logprobs(prompt.ids)
    return float(sum(float(with_all[at]) - without[at] for at in positions.tolist()))


def rank_correlation(x: list[float], y: list[float]) -> float:
    """Spearman's, by counting."""
    first, second = ([(sum(b < a for b in v) + sum(b <= a for b in v) + 1) / 2 for a in v] for v in (x, y))
    return float(np.corrcoef(first, second)[0, 1])


class TestAgainstPlainComputation:
    """Every figure of a scorer without any structure, worked out again from the definitions."""

    @pytest.fixture(scope="class")
    def both(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[FidelityPlan, Fidelity]:
        session = prepared(SPREAD, tmp_path_factory.mktemp("cache"))
        found = asyncio.run(measured(session, seed=3))
        session.close()
        return found

    def test_top_k_is_the_drop_without_the_k_largest_of_each_response(
        self, both: tuple[FidelityPlan, Fidelity]
    ) -> None:
        _, fidelity = both
        assert [top.k for top in fidelity.top] == [1, 3, 5]
        for top in fidelity.top:
            sees = [response for response in range(6) if response + 1 >= top.k]
            drops = []
            for response in sees:
                column = [drop(SPREAD, [memory], response) for memory in range(response + 1)]
                largest = sorted(range(response + 1), key=lambda m: -column[m])[: top.k]
                drops.append(drop(SPREAD, largest, response))
            assert top.drop == close(np.mean(drops))
            assert (top.responses, top.eligible, top.missing) == (len(sees), len(sees), 0)

    def test_one_at_random_is_the_mean_of_all_cells_of_a_column(
        self, both: tuple[FidelityPlan, Fidelity]
    ) -> None:
        means = [np.mean([drop(SPREAD, [m], response) for m in range(response + 1)]) for response in range(6)]
        assert both[1].top[0].random == close(np.mean(means))

    def test_more_at_random_are_so_many_different_memories_that_the_response_sees(
        self, both: tuple[FidelityPlan, Fidelity]
    ) -> None:
        plan, fidelity = both
        for top in fidelity.top[1:]:
            means = []
            for choice in plan.top:
                if choice.k == top.k:
                    assert 1 <= len(choice.random) <= DRAWS
                    for memories in choice.random:
                        assert len(set(memories)) == top.k
                        assert max(memories) <= choice.response
                    means.append(np.mean([drop(SPREAD, m, choice.response) for m in choice.random]))
            assert top.random == close(np.mean(means))

    def test_lds_is_the_mean_rank_correlation_over_the_masks(
        self, both: tuple[FidelityPlan, Fidelity]
    ) -> None:
        plan, fidelity = both
        expected: list[float | None] = []
        for response in range(6):
            baseline = -drop(SPREAD, [], response)
            actual = [round(baseline - drop(SPREAD, mask, response), 4) for mask in plan.masks]
            alone = [drop(SPREAD, [m], response) if m <= response else 0.0 for m in range(6)]
            predicted = [round(baseline - sum(alone[m] for m in mask), 4) for mask in plan.masks]
            expected.append(rank_correlation(predicted, actual) if response else None)
        assert [one.value for one in fidelity.lds.responses[1:]] == close(expected[1:])
        assert fidelity.lds.mean == close(np.mean([value for value in expected if value is not None]))
        assert fidelity.lds.responses[0].reason == "it sees fewer than two memories"
        assert (fidelity.lds.counted, fidelity.lds.too_few, fidelity.lds.missing) == (5, 1, 0)
        assert [one.entry for one in fidelity.lds.responses] == list(SPREAD.responses)

    def test_all_left_out_stands_beside_the_sum_of_the_rows(
        self, both: tuple[FidelityPlan, Fidelity]
    ) -> None:
        redundancy = both[1].redundancy
        together = [drop(SPREAD, range(6), response) for response in range(6)]
        apart = [sum(drop(SPREAD, [m], r) for m in range(r + 1)) for r in range(6)]
        assert [joint.together for joint in redundancy.responses] == close(together)
        assert [joint.apart for joint in redundancy.responses] == close(apart)
        assert redundancy.total.together == close(sum(together))
        assert redundancy.total.apart == close(sum(apart))
        assert redundancy.total.interaction == close(sum(together) - sum(apart))
        assert redundancy.missing == 0

    def test_a_pair_is_summed_over_the_responses_that_see_both(
        self, both: tuple[FidelityPlan, Fidelity]
    ) -> None:
        pairs = both[1].redundancy.pairs
        assert pairs is not None
        assert 1 <= len(pairs) <= PAIRS
        for pair in pairs:
            a, b = sorted(NAMES.index(key) for key in pair.keys)
            together = {r: drop(SPREAD, [a, b], r) for r in range(b, 6)}
            apart = {r: drop(SPREAD, [a], r) + drop(SPREAD, [b], r) for r in range(b, 6)}
            assert pair.total.together == close(sum(together.values()))
            assert pair.total.apart == close(sum(apart.values()))
            assert pair.strongest is not None
            assert pair.strongest.response is not None
            assert pair.strongest.interaction == close(
                together[pair.strongest.response] - apart[pair.strongest.response]
            )

    def test_the_figures_are_signed_whatever_the_metric(
        self, both: tuple[FidelityPlan, Fidelity], tmp_path: Path
    ) -> None:
        session = prepared(SPREAD, tmp_path, metric=Metric.TOKEN_CLAMPED)
        _, fidelity = asyncio.run(measured(session, seed=3))
        session.close()
        assert fidelity.metric == "signed"
        assert (fidelity.top, fidelity.lds) == (both[1].top, both[1].lds)


class TestKnownAnswers:
    """Scorers that depend on the memories in a way one can say beforehand."""

    @pytest.mark.parametrize("talk", [SPREAD, FRONT])
    def test_where_each_memory_adds_its_own_lds_is_1_and_the_rows_miss_nothing(
        self, talk: Conversation, tmp_path: Path
    ) -> None:
        fidelity = fidelity_of(talk, tmp_path, by_memories(linear))
        assert fidelity.lds.mean == pytest.approx(1.0)
        assert fidelity.redundancy.total.interaction == close(0.0)
        assert fidelity.redundancy.pairs is not None
        assert not any(pair.redundant for pair in fidelity.redundancy.pairs)

    def test_where_each_memory_adds_its_own_top_k_is_the_sum_of_the_k_largest(self, tmp_path: Path) -> None:
        fidelity = fidelity_of(FRONT, tmp_path, by_memories(linear))
        assert [top.drop for top in fidelity.top] == close([16, 16 + 8 + 4, 16 + 8 + 4 + 2 + 1])
        assert fidelity.top[0].random == close(31.75 / 7)
        for top in fidelity.top:
            assert top.random is not None
            assert top.drop is not None
            assert top.random < top.drop

    @pytest.mark.parametrize("talk", [SPREAD, FRONT])
    @pytest.mark.parametrize("seed", range(5))
    def test_a_planted_pair_is_named_and_it_alone(
        self, talk: Conversation, seed: int, tmp_path: Path
    ) -> None:
        fidelity = fidelity_of(talk, tmp_path, by_memories(planted), seed=seed)
        pairs = fidelity.redundancy.pairs
        assert pairs is not None
        assert [pair.keys for pair in pairs if pair.redundant] == [("bert", "fred")]
        best = pairs[0].strongest
        assert best is not None
        assert (best.together, best.apart, best.interaction) == (close(6), close(0), close(6))
        assert fidelity.redundancy.responses[-1].hidden

    def test_memories_that_hurt_each_alone_and_do_nothing_together_hide_nothing(self, tmp_path: Path) -> None:
        def crossed(present: frozenset[str]) -> float:
            return -40.0 + 2 * (len(present & {"bert", "fred"}) == 1)

        fidelity = fidelity_of(FRONT, tmp_path, by_memories(crossed))
        assert fidelity.redundancy.pairs is not None
        best = fidelity.redundancy.pairs[0]
        assert (best.keys, best.total.together, best.total.apart) == (("bert", "fred"), 0, -16)
        assert not best.redundant

    def test_a_pair_that_no_mask_leaves_out_is_named_if_its_texts_are_alike(self, tmp_path: Path) -> None:
        texts = ["wakes early", "likes herring with lemon", "owns a boat", "plays chess", "is tall", "sings"]
        talk = conversation(
            *((name, f"{name} {text}.") for name, text in zip(NAMES, texts, strict=False)),
            ("late", "gina says: likes herring, with lemon."),
            ("user", "And?"),
            ("assistant", "So."),
        )
        scorer = by_memories(
            lambda present: linear(present & {"anna"}) + 2 * bool(present & {"bert", "gina"})
        )
        session = prepared(talk, tmp_path, scorer)
        plans = (asyncio.run(plan_fidelity(session, masks=3, seed=seed)) for seed in range(100))
        seed = next(plan.seed for plan in plans if not any({1, 6} <= set(mask) for mask in plan.masks))
        session.close()
        fidelity = fidelity_of(talk, tmp_path, scorer, masks=3, seed=seed)
        assert fidelity.redundancy.pairs is not None
        assert [pair.keys for pair in fidelity.redundancy.pairs if pair.redundant] == [("bert", "late")]

    def test_a_response_that_no_mask_changes_has_no_lds(self, tmp_path: Path) -> None:
        fidelity = fidelity_of(FRONT, tmp_path, by_memories(lambda present: -3.0))
        assert (fidelity.lds.mean, fidelity.lds.counted, fidelity.lds.constant) == (None, 0, 4)
        assert [one.value for one in fidelity.lds.responses] == [None] * 4

    def test_differences_within_noise_are_no_lds_and_no_redundancy(self, tmp_path: Path) -> None:
        scorer = by_memories(planted)
        scorer.noise_floor = 100.0
        fidelity = fidelity_of(FRONT, tmp_path, scorer)
        assert (fidelity.lds.mean, fidelity.lds.constant) == (None, 4)
        assert fidelity.redundancy.pairs is not None
        assert not any(pair.redundant for pair in fidelity.redundancy.pairs)
        # one divergence holds two noisy log-probabilities; the interaction of a pair holds four
        assert fidelity.redundancy.pairs[0].total.noise == close(100 * math.sqrt(2) * math.sqrt(4))

    def test_a_scorer_that_gives_totals_only_has_the_same_figures(self, tmp_path: Path) -> None:
        def total(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            return SpanScore(score.span, score.logprobs.sum(keepdims=True))

        each = fidelity_of(SPREAD, tmp_path / "each")
        totals = fidelity_of(
            SPREAD, tmp_path / "totals", HashScorer(per_token=False, fingerprint="totals", answer=total)
        )
        assert [top.drop for top in totals.top] == close([top.drop for top in each.top])
        assert totals.lds.mean == close(each.lds.mean)

    def test_an_approximate_scorer_is_called_so(self, tmp_path: Path) -> None:
        assert not fidelity_of(SPREAD, tmp_path, HashScorer(exact=False)).exact


class TestDrawing:
    """What chance decides, and what it does not."""

    def test_the_same_seed_gives_the_same_figures_and_another_one_others(self, tmp_path: Path) -> None:
        first, again, other = (
            fidelity_of(FRONT, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
        )
        assert (first.top, first.lds, first.redundancy) == (again.top, again.lds, again.redundancy)
        assert first.lds != other.lds
        assert first.top[1].random != other.top[1].random
        assert first.redundancy.total == other.redundancy.total

    def test_more_masks_begin_with_the_same_ones_and_draw_the_same_sets(self, tmp_path: Path) -> None:
        session = prepared(FRONT, tmp_path)
        few, more = (asyncio.run(plan_fidelity(session, masks=masks)) for masks in (8, 32))
        session.close()
        assert more.masks[:8] == few.masks
        assert more.top == few.top

    def test_each_memory_is_left_out_by_about_half_of_the_masks(self, tmp_path: Path) -> None:
        session = prepared(FRONT, tmp_path)
        plan = asyncio.run(plan_fidelity(session, masks=1000))
        session.close()
        for memory in range(7):
            assert 430 < sum(memory in mask for mask in plan.masks) < 570

    def test_masks_that_leave_out_nothing_or_everything_count_like_the_others(self, tmp_path: Path) -> None:
        talk = turns("anna", "bert")
        session = prepared(talk, tmp_path, by_memories(linear))
        plan, fidelity = asyncio.run(measured(session))
        session.close()
        assert {(), (0, 1)} <= set(plan.masks)
        assert plan.ablations == 1  # both of them at the one response that sees both; the rest is known
        assert fidelity.lds.responses[1].masks == 32
        assert fidelity.lds.mean == pytest.approx(1.0)

    def test_a_long_conversation_leaves_out_top_memories_at_a_sample_of_responses(
        self, tmp_path: Path
    ) -> None:
        talk = turns(*NAMES, tail=40)
        fidelity = fidelity_of(talk, tmp_path)
        assert [(top.responses, top.eligible) for top in fidelity.top] == [
            (SAMPLE, 47),
            (SAMPLE, 45),
            (SAMPLE, 43),
        ]


class TestFewMemories:
    """One memory or none: what can't be said is not said."""

    def test_one_memory_has_a_top_1_and_nothing_else_and_costs_nothing(self, tmp_path: Path) -> None:
        session = prepared(turns("anna", tail=1), tmp_path, by_memories(linear))
        plan, fidelity = asyncio.run(measured(session))
        session.close()
        assert (plan.ablations, plan.tokens, plan.pairs, plan.pair_tokens) == (0, 0, 0, 0)
        assert [(top.drop, top.random) for top in fidelity.top] == [(0.25, 0.25), (None, None), (None, None)]
        assert (fidelity.lds.mean, fidelity.lds.too_few) == (None, 2)
        assert (fidelity.redundancy.total.interaction, fidelity.redundancy.pairs) == (0, ())
        assert fidelity.ablations == 0

    def test_without_memories_there_is_no_figure_at_all(self, tmp_path: Path) -> None:
        fidelity = fidelity_of(turns(None, None), tmp_path)
        assert [(top.drop, top.random, top.eligible) for top in fidelity.top] == [(None, None, 0)] * 3
        assert fidelity.lds.mean is None
        assert fidelity.redundancy.total.together is None
        assert (fidelity.redundancy.responses, fidelity.redundancy.pairs) == ((), ())

    def test_a_session_that_is_not_prepared_is_one_sentence(self) -> None:
        with pytest.raises(MemscopeError, match="not prepared"):
            asyncio.run(plan_fidelity(Session(FRONT)))


class TestFailures:
    """What fails is told, and never counts as nought."""

    def failing_without(self, *names: str, others: int = 99) -> HashScorer:
        """A scorer that fails where all these are left out, with at most so many others."""
        scorer = by_memories(linear)
        answered = scorer.answer

        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore | None:
            absent = {name for name in NAMES if name not in "".join(request.texts)}
            if set(names) <= absent and len(absent) <= len(names) + others:
                raise ScorerError("it fell over", final=True)
            assert answered is not None
            return answered(number, request, score)

        scorer.answer = answer
        return scorer

    def test_masks_that_fail_are_counted_and_the_figures_are_over_the_others(self, tmp_path: Path) -> None:
        session = prepared(FRONT, tmp_path, self.failing_without("anna", "bert"))
        plan, fidelity = asyncio.run(measured(session))
        lost = sum({0, 1} <= set(mask) for mask in plan.masks)
        assert 0 < lost < 32
        assert fidelity.lds.masks_missing == lost
        assert [one.masks for one in fidelity.lds.responses] == [32 - lost] * 4
        assert fidelity.lds.mean == pytest.approx(1.0)
        assert ("all memories", "it fell over") in fidelity.failed
        ended = session.activities.snapshot()
        session.close()
        assert any(a.state is ActivityState.FAILED and "ablations failed" in (a.error or "") for a in ended)

    def test_all_left_out_is_none_where_it_failed(self, tmp_path: Path) -> None:
        redundancy = fidelity_of(FRONT, tmp_path, self.failing_without(*NAMES)).redundancy
        assert (redundancy.total.together, redundancy.total.interaction) == (None, None)
        assert redundancy.missing == 4
        assert all(joint.together is None and joint.interaction is None for joint in redundancy.responses)
        assert [joint.apart for joint in redundancy.responses] == close([31.75] * 4)

    def test_a_memory_that_is_not_scored_is_named_and_its_responses_do_not_count(
        self, tmp_path: Path
    ) -> None:
        fidelity = fidelity_of(FRONT, tmp_path, self.failing_without("cleo", others=0))
        assert fidelity.unscored == ("cleo",)
        assert [(top.drop, top.random, top.missing) for top in fidelity.top] == [(None, None, 4)] * 3
        assert (fidelity.lds.mean, fidelity.lds.missing) == (None, 4)
        assert fidelity.redundancy.total.together is None
        assert fidelity.ablations == 0

    def test_a_memory_that_is_not_scored_spoils_only_responses_that_see_it(self, tmp_path: Path) -> None:
        fidelity = fidelity_of(SPREAD, tmp_path, self.failing_without("fred", "gina", others=0))
        assert fidelity.unscored == ("fred",)
        assert [(top.responses, top.missing) for top in fidelity.top] == [(5, 1), (3, 1), (1, 1)]
        assert (fidelity.lds.counted, fidelity.lds.missing) == (4, 1)
        assert (fidelity.redundancy.missing, fidelity.redundancy.total.together) == (
            1,
            close(7.75 + 3.75 + 1.75 + 0.75 + 0.25),
        )

    def test_a_pair_that_fails_has_no_number(self, tmp_path: Path) -> None:
        fidelity = fidelity_of(FRONT, tmp_path, self.failing_without("anna", "bert", others=0))
        assert fidelity.redundancy.pairs is not None
        for pair in fidelity.redundancy.pairs:
            failed = pair.keys == ("anna", "bert")
            assert (pair.total.together is None) == failed
            assert pair.missing == (4 if failed else 0)


class TestCost:
    """What it says beforehand, what it then computes, and what it does not compute again."""

    def test_it_computes_what_the_plan_said_and_the_pairs_stay_within_their_bound(
        self, tmp_path: Path
    ) -> None:
        scorer = HashScorer()
        session = prepared(FRONT, tmp_path, scorer)

        async def work() -> tuple[FidelityPlan, Fidelity, int]:
            async for _ in session.score():
                pass
            plan = await plan_fidelity(session)
            before = scorer.tokens_computed
            return plan, await measure_fidelity(session, plan), scorer.tokens_computed - before

        plan, fidelity, computed = asyncio.run(work())
        session.close()
        assert plan.tokens <= computed <= plan.tokens + plan.pair_tokens
        assert fidelity.spent.tokens_computed == computed
        assert fidelity.spent.tokens_needed <= fidelity.spent.tokens_naive
        assert plan.ablations <= fidelity.ablations <= plan.ablations + plan.pairs

    def test_a_second_time_costs_nothing(self, tmp_path: Path) -> None:
        first = fidelity_of(FRONT, tmp_path)
        scorer = HashScorer()
        session = prepared(FRONT, tmp_path, scorer)
        plan, again = asyncio.run(measured(session))
        session.close()
        assert (plan.ablations, plan.tokens) == (0, 0)
        assert scorer.requests == []
        assert (again.top, again.lds, again.redundancy) == (first.top, first.lds, first.redundancy)
        assert again.spent.tokens_computed == 0

    def test_fresh_scores_everything_again(self, tmp_path: Path) -> None:
        first = fidelity_of(FRONT, tmp_path)
        session = prepared(FRONT, tmp_path, HashScorer())
        plan, again = asyncio.run(measured(session, fresh=True))
        session.close()
        assert plan.tokens <= again.spent.tokens_computed <= plan.tokens + plan.pair_tokens
        assert (plan.ablations, again.spent.cells_from_cache) == (len(plan.rows), 0)
        assert (again.top, again.lds) == (first.top, first.lds)

    def test_a_conversation_that_changes_meanwhile_keeps_its_figures_and_tries_no_pairs(
        self, tmp_path: Path
    ) -> None:
        session = prepared(FRONT, tmp_path)

        async def work() -> Fidelity:
            async for _ in session.score():
                pass
            plan = await plan_fidelity(session)
            session.adopt(turns(*NAMES))
            await session.prepare()
            return await measure_fidelity(session, plan)

        fidelity = asyncio.run(work())
        session.close()
        assert fidelity.redundancy.pairs is None
        expected = fidelity_of(FRONT, tmp_path)
        assert (fidelity.top, fidelity.lds) == (expected.top, expected.lds)

    def test_it_can_be_cancelled_and_keeps_what_is_done(self, tmp_path: Path) -> None:
        scorer = HashScorer()
        session = prepared(FRONT, tmp_path, scorer)

        async def work() -> None:
            async for _ in session.score():
                pass
            plan = await plan_fidelity(session)
            task = asyncio.create_task(measure_fidelity(session, plan))
            before = len(scorer.requests)
            while len(scorer.requests) < before + 8:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            again = await plan_fidelity(session)
            assert 0 < again.ablations < plan.ablations

        asyncio.run(work())
        states = {a.title: a.state for a in session.activities.snapshot()}
        session.close()
        assert states["measuring fidelity"] is ActivityState.CANCELLED
