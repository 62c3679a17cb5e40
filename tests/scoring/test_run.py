"""Carrying a plan out: right numbers, each kept at once; cancelling, failing and growing lose nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memscope.activity import Activities, ActivityState
from memscope.conversation.model import Conversation
from memscope.errors import ScorerError
from memscope.prompt import build_prompt
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.plan import Plan, each_alone
from memscope.scoring.run import Change, Run
from memscope.store import Store
from tests.scorers_fake import TALK, HashScorer, conversation, failing, hash_logprobs, reference

TALKED = conversation(*TALK)


def run_of(talk: Conversation, scorer: HashScorer, store: Store, activities: Activities | None = None) -> Run:
    """A run that knows what the store knows."""
    plan = Plan(build_prompt(talk, scorer.tokenizer), each_alone(len(talk.memories)), scorer.context_length)
    matrix = ScoreMatrix([memory.key for memory in talk.memories], talk.responses, plan.possible())
    run = Run(plan, matrix, scorer, store, activities or Activities())
    asyncio.run(run.recall())
    return run


def score(run: Run, *, fresh: bool = False) -> list[Change]:
    """Score to the end."""

    async def changes() -> list[Change]:
        return [change async for change in run.score(fresh=fresh)]

    return asyncio.run(changes())


def assert_scored(run: Run, talk: Conversation = TALKED) -> None:
    """Every number is the brute-force one."""
    rows, baseline = reference(talk)
    assert run.matrix.values(Metric.SIGNED).ravel().tolist() == pytest.approx(
        np.ravel(rows).tolist(), nan_ok=True
    )
    assert run.matrix.baseline.tolist() == pytest.approx(baseline)
    assert set(run.matrix.states.ravel().tolist()) <= {CellState.SCORED, CellState.IMPOSSIBLE}


def test_a_full_run_equals_brute_force(store: Store) -> None:
    run = run_of(TALKED, HashScorer(), store)
    score(run)
    assert_scored(run)
    assert run.matrix.count(CellState.IMPOSSIBLE) == 1


def test_a_full_run_computes_the_tokens_of_its_plan_in_a_request_each(store: Store) -> None:
    run = run_of(TALKED, HashScorer(), store)
    assert run.tokens_missing() == run.plan.cost.tokens_needed
    score(run)
    assert run.tokens_computed == run.plan.cost.tokens_needed
    assert run.requests == 3
    assert run.cells_from_cache == 0
    assert run.tokens_missing() == 0
    assert run.seconds > 0


def test_results_come_span_by_span(store: Store) -> None:
    run = run_of(TALKED, HashScorer(), store)
    seen = []

    async def watch() -> None:
        async for change in run.score():
            seen.append((change.rows, run.matrix.count(CellState.SCORED)))

    asyncio.run(watch())
    assert [count for _, count in seen] == [0, 0, 1, 2, 3, 3, 4, 5]
    assert [rows for rows, _ in seen] == [(0, 1), *[(0,)] * 4, *[(1,)] * 3]


def test_cells_being_scored_are_running_until_their_result_comes(store: Store) -> None:
    run = run_of(TALKED, HashScorer(), store)

    async def watch() -> list[list[int]]:
        return [run.matrix.states[0].tolist() async for _ in run.score()]

    running, scored = CellState.RUNNING, CellState.SCORED
    assert asyncio.run(watch())[1:4] == [[running] * 3, [scored, running, running], [scored, scored, running]]


def test_a_second_run_computes_nothing(store: Store) -> None:
    score(run_of(TALKED, HashScorer(), store))
    again = run_of(TALKED, HashScorer(), store)
    assert_scored(again)
    assert again.tokens_missing() == 0
    score(again)
    assert (again.requests, again.tokens_computed, again.cells_from_cache) == (0, 0, 5)
    assert_scored(again)


def test_another_models_scores_are_not_recalled(store: Store) -> None:
    score(run_of(TALKED, HashScorer(), store))
    assert run_of(TALKED, HashScorer(fingerprint="hash 2"), store).cells_from_cache == 0


def test_a_grown_conversation_computes_only_its_new_columns(store: Store) -> None:
    score(run_of(TALKED, HashScorer(), store))
    grown = conversation(*TALK, ("user", "Is it far?"), ("assistant", "A kilometre along the quay."))
    run = run_of(grown, HashScorer(), store)
    assert run.cells_from_cache == 5
    assert run.matrix.count(CellState.PENDING) == 2
    expected = run.tokens_missing()
    score(run)
    assert_scored(run, grown)
    assert run.tokens_computed == expected == run.plan.cost.tokens_needed
    assert all(len(request.spans) == 1 for request in scorer_of(run).requests)


def test_a_memory_added_at_the_end_leaves_old_cells_known(store: Store) -> None:
    score(run_of(TALKED, HashScorer(), store))
    grown = conversation(*TALK, ("budget", "She has 900 kroner."), ("user", "Taxi?"), ("assistant", "No."))
    run = run_of(grown, HashScorer(), store)
    assert run.cells_from_cache == 5
    score(run)
    assert_scored(run, grown)


def scorer_of(run: Run) -> HashScorer:
    """The scorer of a run."""
    scorer = run._scorer
    assert isinstance(scorer, HashScorer)
    return scorer


class TestStopping:
    """Whichever way a run ends, what is done stays."""

    @staticmethod
    async def by_closing(run: Run, after: int) -> None:
        async with aclosing(run.score()) as changes:
            for _ in range(after):
                await anext(changes)

    @staticmethod
    async def by_cancelling(run: Run, after: int) -> None:
        count = 0

        async def drain() -> None:
            nonlocal count
            async for _ in run.score():
                count += 1
                if count == after:
                    task.cancel()

        task = asyncio.create_task(drain())
        with pytest.raises(asyncio.CancelledError):
            await task

    @pytest.mark.parametrize("stop", [by_closing, by_cancelling])
    @pytest.mark.parametrize("after", range(1, 8))
    def test_it_keeps_what_is_done_and_the_next_run_completes_only_the_rest(
        self, store: Store, stop: Callable[[Run, int], Coroutine[Any, Any, None]], after: int
    ) -> None:
        activities = Activities()
        run = run_of(TALKED, HashScorer(), store, activities)
        asyncio.run(stop(run, after))
        assert run.matrix.count(CellState.RUNNING) == 0
        scored = run.matrix.count(CellState.SCORED)
        kept = run_of(TALKED, HashScorer(), store)
        assert kept.cells_from_cache >= scored
        missing = kept.tokens_missing()
        assert missing < kept.plan.cost.tokens_needed or scored == 0
        score(kept)
        assert_scored(kept)
        assert kept.tokens_computed == missing
        ended = {activity.title.split()[0]: activity.state for activity in activities.snapshot()}
        assert ended.get("scoring", ActivityState.CANCELLED) is ActivityState.CANCELLED

    def test_the_same_run_can_go_on(self, store: Store) -> None:
        run = run_of(TALKED, HashScorer(), store)
        asyncio.run(self.by_closing(run, 4))
        assert 0 < run.matrix.count(CellState.SCORED) < 5
        score(run)
        assert_scored(run)
        assert run.cells_from_cache <= 1, (
            "only what came while it was being stopped is known to the store alone"
        )

    def test_cancelling_while_the_scorer_works_leaves_nothing_running(self, store: Store) -> None:
        reached = asyncio.Event()

        class Stuck(HashScorer):
            async def score(self, request: ScoreRequest):  # type: ignore[no-untyped-def]
                if not request.keep:
                    reached.set()
                    await asyncio.Event().wait()
                async for score in HashScorer.score(self, request):
                    yield score

        run = run_of(TALKED, Stuck(), store)

        async def cancel() -> None:
            async def drain() -> None:
                async for _ in run.score():
                    pass

            task = asyncio.create_task(drain())
            await reached.wait()
            assert run.matrix.count(CellState.RUNNING) == 3
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        assert run.matrix.count(CellState.RUNNING) == 0
        assert run.matrix.count(CellState.PENDING) == 5


class TestFailing:
    """A scorer that fails costs what it did not answer, never a wrong number."""

    BASELINE, HOME, DIET = 1, 2, 3

    def test_a_request_that_fails_is_tried_again(self, store: Store) -> None:
        run = run_of(TALKED, HashScorer(answer=failing(self.HOME, self.HOME + 1)), store)
        score(run)
        assert_scored(run)
        assert run.requests == 5
        assert run.matrix.errors == {}

    def test_a_row_that_fails_three_times_is_failed_with_its_reason_and_the_others_are_right(
        self, store: Store
    ) -> None:
        activities = Activities()
        run = run_of(TALKED, HashScorer(answer=failing(2, 3, 4)), store, activities)
        score(run)
        assert run.matrix.states[0].tolist() == [CellState.FAILED] * 3
        assert run.matrix.errors == {0: "the server fell over"}
        assert np.isnan(run.matrix.values(Metric.SIGNED)[0]).all()
        assert run.matrix.values(Metric.SIGNED)[1].tolist() == pytest.approx(
            reference(TALKED)[0][1], nan_ok=True
        )
        (failure,) = (a for a in activities.snapshot() if a.state is ActivityState.FAILED)
        assert failure.error == "1 of 2 memories failed: the server fell over"

    def test_a_second_run_completes_only_what_failed(self, store: Store) -> None:
        run = run_of(TALKED, HashScorer(answer=failing(2, 3, 4)), store)
        score(run)
        before = run.requests
        score(run)
        assert_scored(run)
        assert run.matrix.errors == {}
        assert [request.keep for request in scorer_of(run).requests[before:]] == [True, False]

    def test_a_row_that_fails_half_way_keeps_its_scored_cells(self, store: Store) -> None:
        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            if number >= self.HOME and not request.keep and score.span == len(request.spans) - 1:
                raise ScorerError("out of memory")
            return score

        run = run_of(TALKED, HashScorer(answer=answer), store)
        score(run)
        scored, failed, impossible = CellState.SCORED, CellState.FAILED, CellState.IMPOSSIBLE
        assert run.matrix.states.tolist() == [[scored, scored, failed], [impossible, scored, failed]]
        rows, _ = reference(TALKED)
        assert run.matrix.values(Metric.SIGNED)[0, :2].tolist() == pytest.approx(rows[0][:2])

    def test_a_retry_asks_only_for_what_is_left(self, store: Store) -> None:
        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            if number == self.HOME and score.span == 2:
                raise ScorerError("out of memory")
            return score

        run = run_of(TALKED, HashScorer(answer=answer), store)
        score(run)
        assert_scored(run)
        assert [len(request.spans) for request in scorer_of(run).requests] == [3, 3, 1, 2]

    def test_without_a_baseline_every_row_fails_and_says_why(self, store: Store) -> None:
        run = run_of(TALKED, HashScorer(answer=failing(*range(1, 10))), store)
        score(run)
        assert run.matrix.count(CellState.FAILED) == 5
        assert run.matrix.errors == dict.fromkeys((0, 1), "the baseline failed: the server fell over")
        assert np.isnan(run.matrix.baseline).all()
        assert run.requests == 3

    def test_a_baseline_that_fails_half_way_fails_only_the_columns_it_lacks(self, store: Store) -> None:
        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            if request.keep and score.span == len(request.spans) - 1:
                raise ScorerError("gone")
            return score

        run = run_of(TALKED, HashScorer(answer=answer), store)
        score(run)
        assert run.matrix.states[:, 2].tolist() == [CellState.FAILED] * 2
        assert run.matrix.states[0, :2].tolist() == [CellState.SCORED] * 2
        assert run.matrix.errors[0] == "the baseline failed: gone"

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda score: replace(score, logprobs=score.logprobs * np.nan), "not a finite number"),
            (lambda score: replace(score, logprobs=score.logprobs - np.inf), "not a finite number"),
            (lambda score: replace(score, logprobs=score.logprobs[:-1]), "a wrong number"),
            (lambda score: replace(score, span=7), "not asked for"),
            (lambda score: None, "3 of 3 responses came back without a score"),
        ],
    )
    def test_an_answer_that_is_none_is_a_failure_and_never_a_number(
        self, store: Store, spoil: Callable[[SpanScore], SpanScore | None], reason: str
    ) -> None:
        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore | None:
            return score if request.keep else spoil(score)

        run = run_of(TALKED, HashScorer(answer=answer), store)
        score(run)
        assert run.matrix.count(CellState.FAILED) == 5
        assert np.isnan(run.matrix.values(Metric.SIGNED)).all()
        assert reason in run.matrix.errors[0]

    def test_a_span_given_twice_does_not_replace_the_first(self, store: Store) -> None:
        run = run_of(TALKED, HashScorer(answer=lambda n, request, score: replace(score, span=0)), store)
        score(run)
        assert_scored(run)


def test_fresh_computes_everything_again_and_overwrites_what_was_kept(store: Store) -> None:
    spoiled = HashScorer(answer=lambda n, request, score: replace(score, logprobs=score.logprobs * 2))
    score(run_of(TALKED, spoiled, store))
    run = run_of(TALKED, HashScorer(), store)
    assert run.cells_from_cache == 5
    score(run, fresh=True)
    assert_scored(run)
    assert run.tokens_computed == run.plan.cost.tokens_needed
    assert run.cells_from_cache == 0
    assert_scored(run_of(TALKED, HashScorer(), store))


def test_kept_scores_that_can_not_be_right_are_computed_again(store: Store) -> None:
    run = run_of(TALKED, HashScorer(), store)
    score(run)
    keys = [key for ablation in run.plan.ablations for key in run.plan.keys(ablation, "hash 1").values()]
    store.put({keys[0]: np.zeros(1, np.float32), keys[4]: np.full(6, np.nan, np.float32)})
    again = run_of(TALKED, HashScorer(), store)
    assert again.matrix.count(CellState.PENDING) > 0
    score(again)
    assert_scored(again)


def test_windows_are_scored_each_against_its_own_baseline(store: Store) -> None:
    talk = conversation(
        ("system", "You plan trips."),
        *[
            message
            for turn in range(6)
            for message in (
                (f"fact {turn % 4}", f"Fact number {turn} is about trains."),
                ("user", f"Question {turn}?"),
                ("assistant", f"Answer {turn} mentions some train."),
            )
        ],
    )
    scorer = HashScorer(context_length=90)
    run = run_of(talk, scorer, store)
    assert len(run.plan.windows) > 1
    score(run)
    prompt = run.plan.prompt
    for window in run.plan.windows:
        tokens = window.tokens
        with_all = dict(zip(tokens.tolist(), hash_logprobs(prompt.ids[tokens]).tolist(), strict=True))
        for memory in range(4):
            kept = tokens[prompt.memory[tokens] != memory]
            without = dict(zip(kept.tolist(), hash_logprobs(prompt.ids[kept]).tolist(), strict=True))
            for response in window.responses:
                if run.matrix.states[memory, response] == CellState.SCORED:
                    drop = sum(with_all[at] - without[at] for at in prompt.responses[response].tolist())
                    assert run.matrix.values(Metric.SIGNED)[memory, response] == pytest.approx(drop)
    assert run.tokens_computed == run.plan.cost.tokens_needed
    assert run.matrix.count(CellState.SCORED) == int(run.plan.possible().sum())


def test_a_whole_run_is_an_activity_in_tokens(store: Store) -> None:
    activities = Activities()
    run = run_of(TALKED, HashScorer(), store, activities)
    score(run)
    scoring, baseline = activities.snapshot()
    assert (scoring.title, scoring.state) == ("scoring", ActivityState.COMPLETE)
    assert (scoring.done, scoring.total, scoring.unit) == (run.tokens_computed, run.tokens_computed, "tokens")
    assert (baseline.title, baseline.done, baseline.total) == ("baseline", 3, 3)


def test_token_log_probabilities_are_there_with_all_memories_and_without_one(store: Store) -> None:
    run = run_of(TALKED, HashScorer(), store)

    async def look() -> None:
        assert await run.logprobs(None, 1) is None
        assert await run.logprobs(0, 1) is None
        async for _ in run.score():
            pass
        with_all, without = await run.logprobs(None, 1), await run.logprobs(0, 1)
        assert with_all is not None
        assert without is not None
        assert float((with_all - without).sum()) == pytest.approx(reference(TALKED)[0][0][1], abs=1e-4)
        assert await run.logprobs(1, 0) is None

    asyncio.run(look())
