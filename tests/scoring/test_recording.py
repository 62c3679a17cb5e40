"""Every scoring of a session leaves a run, however it ends; one that did nothing leaves none."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import stamina

from memscope.activity import ActivityState
from memscope.errors import ModelError, ScorerError
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.run import Run
from memscope.scoring.runs import RunInfo, Runs, RunState, session_path
from memscope.scoring.session import Session
from tests.scorers_fake import TALK, HashScorer, conversation, failing, prepared, scored

GROWN = (*TALK, ("job", "Nora builds boats."), ("user", "And work?"), ("assistant", "You build boats, Nora."))
TALKED = conversation(*TALK)


def kept(cache: Path) -> list[tuple[RunInfo, ScoreMatrix]]:
    """The runs of the talk, newest first."""
    runs = Runs(cache / "scores.sqlite")
    found = [(run, runs.matrix(run.id)) for run in runs.of("talk.jsonl")]
    assert runs.problem is None
    runs.close()
    return found


async def score(session: Session, *, fresh: bool = False) -> None:
    async for _ in session.score(fresh=fresh):
        pass


def assert_same(found: ScoreMatrix, matrix: ScoreMatrix) -> None:
    assert (found.keys, found.responses, found.errors) == (matrix.keys, matrix.responses, matrix.errors)
    assert found.states.tolist() == matrix.states.tolist()
    for metric in Metric:
        assert found.values(metric).tobytes() == matrix.values(metric).tobytes()


@asynccontextmanager
async def half_way(session: Session) -> AsyncIterator[None]:
    """Score until the first cell has its number."""
    async with aclosing(session.score()) as changes:
        async for _ in changes:
            if session.matrix.count(CellState.SCORED):
                break
        yield


def test_a_whole_scoring_is_a_complete_run_with_its_matrix(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    scorer = HashScorer()
    session = scored(TALKED, tmp_path, scorer, Metric.CLAMPED)
    ((run, matrix),) = kept(tmp_path)
    assert_same(matrix, session.matrix)
    assert (run.session, run.branch, run.title) == (session_path("talk.jsonl"), "", "talk")
    assert (run.scorer, run.model, run.exact, run.metric) == ("fake", "hash", True, Metric.CLAMPED)
    assert (run.state, run.reason) == (RunState.COMPLETE, "")
    assert (run.scored, run.failed, run.missing, run.memories, run.responses) == (5, 0, 0, 2, 3)
    assert session.plan is not None
    assert run.tokens_computed == run.tokens_needed == session.plan.cost.tokens_needed
    assert (run.requests, run.cells_from_cache) == (len(scorer.requests), 0)
    weights = session.matrix.weights(Metric.CLAMPED)
    assert run.weight == weights.max()
    assert run.strongest == session.matrix.keys[int(weights.argmax())]
    assert int(before.timestamp() * 1000) <= run.began.timestamp() * 1000
    assert 0 < run.seconds < (datetime.now(UTC) - before).total_seconds() + 0.01


class TestEnds:
    """However it ends."""

    def test_one_that_is_closed_is_stopped(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)

        async def stop() -> None:
            async with half_way(session):
                pass

        asyncio.run(stop())
        session.close()
        ((run, matrix),) = kept(tmp_path)
        assert run.state is RunState.STOPPED
        assert 0 < run.scored < 5
        assert run.scored + run.missing == 5
        assert matrix.count(CellState.RUNNING) == 0
        assert_same(matrix, session.matrix)

    def test_one_that_is_cancelled_is_stopped_and_cancelled_all_the_same(self, tmp_path: Path) -> None:
        session, scoring = prepared(TALKED, tmp_path), asyncio.Event()

        async def work() -> None:
            async for _ in session.score():
                scoring.set()

        async def cancel() -> None:
            task = asyncio.create_task(work())
            await scoring.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        session.close()
        ((run, _),) = kept(tmp_path)
        assert run.state is RunState.STOPPED

    def test_one_closed_when_everything_was_scored_is_complete(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)

        async def stop() -> None:
            async with aclosing(session.score()) as changes:
                async for _ in changes:
                    if session.matrix.count(CellState.SCORED) == 5:
                        break

        asyncio.run(stop())
        session.close()
        assert [run.state for run, _ in kept(tmp_path)] == [RunState.COMPLETE]

    def test_one_with_failed_rows_has_failed_with_their_number_and_reason(self, tmp_path: Path) -> None:
        with stamina.set_testing(True, attempts=1):
            session = scored(TALKED, tmp_path, HashScorer(answer=failing(2)))
        ((run, matrix),) = kept(tmp_path)
        assert (run.state, run.reason) == (RunState.FAILED, "the server fell over")
        assert run.failed > 0
        assert run.scored + run.failed == 5
        assert_same(matrix, session.matrix)

    def test_one_whose_baseline_failed_has_no_number_and_no_strongest_memory(self, tmp_path: Path) -> None:
        with stamina.set_testing(True, attempts=1):
            scored(TALKED, tmp_path, HashScorer(answer=failing(1)))
        ((run, _),) = kept(tmp_path)
        assert (run.state, run.scored, run.failed, run.requests) == (RunState.FAILED, 0, 5, 1)
        assert (run.strongest, run.weight) == (None, None)

    def test_one_that_an_error_ends_has_failed_and_the_error_goes_on(self, tmp_path: Path) -> None:
        def answer(number: int, request: ScoreRequest, given: SpanScore) -> SpanScore:
            if number == 2:
                raise ModelError("The model is gone.")
            return given

        session = prepared(TALKED, tmp_path, HashScorer(answer=answer))
        with pytest.raises(ModelError, match=r"^The model is gone\.$"):
            asyncio.run(score(session))
        session.close()
        ((run, _),) = kept(tmp_path)
        assert (run.state, run.reason, run.missing) == (RunState.FAILED, "The model is gone.", 5)


class TestWhatCounts:
    """Which scorings leave a run, and what each counts as its own."""

    def test_filling_in_what_is_missing_is_a_run_of_its_own_with_the_whole_matrix(
        self, tmp_path: Path
    ) -> None:
        session = prepared(TALKED, tmp_path)

        async def stop_and_go_on() -> None:
            async with half_way(session):
                pass
            await score(session)

        asyncio.run(stop_and_go_on())
        session.close()
        (second, whole), (first, _) = kept(tmp_path)
        assert (first.state, second.state) == (RunState.STOPPED, RunState.COMPLETE)
        assert second.began >= first.began
        assert second.scored == 5
        assert first.cells_from_cache == 0
        assert second.cells_from_cache <= 5 - first.scored
        assert session.run is not None
        assert second.tokens_computed + first.tokens_computed == session.run.tokens_computed
        assert second.requests + first.requests == session.run.requests
        assert_same(whole, session.matrix)

    def test_one_that_finds_nothing_to_do_leaves_none(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)

        async def score_twice() -> None:
            await score(session)
            await score(session)

        asyncio.run(score_twice())
        session.close()
        assert len(kept(tmp_path)) == 1

    def test_one_whose_cells_all_come_from_the_store_is_a_run_that_asked_for_nothing(
        self, tmp_path: Path
    ) -> None:
        for _ in range(2):
            scored(TALKED, tmp_path)
        (second, matrix), (_, first) = kept(tmp_path)
        assert (second.cells_from_cache, second.requests, second.tokens_computed) == (5, 0, 0)
        assert second.state is RunState.COMPLETE
        assert_same(matrix, first)

    def test_everything_again_takes_nothing_from_the_store(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        scored(TALKED, tmp_path, fresh=True)
        (again, _), (first, _) = kept(tmp_path)
        assert again.cells_from_cache == 0
        assert again.tokens_computed == first.tokens_computed

    def test_what_was_forgotten_and_is_recalled_after_a_stop_comes_from_the_store(
        self, tmp_path: Path
    ) -> None:
        session = prepared(TALKED, tmp_path)

        async def work() -> None:
            await score(session)
            async with aclosing(session.score(fresh=True)) as changes:
                await anext(changes)
            await score(session)

        asyncio.run(work())
        session.close()
        (last, _), *_ = kept(tmp_path)
        assert (last.cells_from_cache, last.requests) == (5, 0)

    def test_some_cells_alone_leave_the_others_missing_in_a_complete_run(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        cells = np.zeros(session.matrix.shape, np.bool_)
        cells[0, 2] = True

        async def score_one() -> None:
            async for _ in session.score(only=cells):
                pass

        asyncio.run(score_one())
        session.close()
        ((run, _),) = kept(tmp_path)
        assert (run.state, run.scored, run.missing) == (RunState.COMPLETE, 1, 4)

    def test_a_session_that_grows_has_a_run_for_each_scoring_and_only_new_cells_are_news(
        self, tmp_path: Path
    ) -> None:
        session = prepared(TALKED, tmp_path)

        async def grow() -> None:
            await score(session)
            session.adopt(conversation(*TALK, ("user", "Thank you.")))
            await session.prepare()
            await score(session)
            session.adopt(conversation(*GROWN))
            await session.prepare()
            await score(session)

        asyncio.run(grow())
        session.close()
        (second, grown), (first, _) = kept(tmp_path)
        assert (first.scored, first.memories, first.responses) == (5, 2, 3)
        assert (second.scored, second.memories, second.responses) == (8, 3, 4)
        assert second.cells_from_cache == 0
        assert second.requests > 0
        assert_same(grown, session.matrix)

    def test_a_session_that_grows_meanwhile_leaves_the_run_of_what_was_scored(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)

        async def grow() -> None:
            async with aclosing(session.score()) as changes:
                await anext(changes)
                session.adopt(conversation(*GROWN))
                async for _ in changes:
                    pass

        asyncio.run(grow())
        session.close()
        ((run, matrix),) = kept(tmp_path)
        assert (run.state, run.scored, run.missing, matrix.shape) == (RunState.COMPLETE, 5, 0, (2, 3))


class TestProblems:
    """What can't be kept is told, and the scoring goes on."""

    def test_a_full_disk_costs_the_run_only(self, tmp_path: Path) -> None:
        session = prepared(conversation(*TALK, title="talk " * 20_000), tmp_path)
        assert session._runs is not None
        session._runs._database.execute("PRAGMA max_page_count = 20")
        asyncio.run(score(session))
        assert session.matrix.count(CellState.SCORED) == 5
        (note,) = session.notes
        assert note.startswith("Runs are not kept: ")
        assert "database or disk is full" in note
        session.close()
        assert kept(tmp_path) == []

    def test_a_table_that_is_gone_is_noted_and_told_once(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        database = sqlite3.connect(tmp_path / "scores.sqlite")
        database.execute("DROP TABLE runs")
        database.close()
        for _ in range(2):
            asyncio.run(score(session, fresh=True))
        assert session.matrix.count(CellState.SCORED) == 5
        (note,) = session.notes
        assert note.startswith("Runs are not kept: ")
        assert "no such table: runs" in note
        notices = [a.title for a in session.activities.snapshot() if a.state is ActivityState.NOTICE]
        assert notices == [note]
        session.close()


def test_a_run_counts_nothing_that_a_scorer_did_before(tmp_path: Path) -> None:
    scorer = HashScorer(tokens_computed=1000)
    session = scored(TALKED, tmp_path, scorer)
    ((run, _),) = kept(tmp_path)
    assert isinstance(session.run, Run)
    assert run.tokens_computed == scorer.tokens_computed - 1000


def test_a_scorer_that_can_not_go_on_leaves_the_reason(tmp_path: Path) -> None:
    def answer(number: int, request: ScoreRequest, given: SpanScore) -> SpanScore:
        raise ScorerError("another model is served", final=True)

    scored(TALKED, tmp_path, HashScorer(answer=answer))
    ((run, _),) = kept(tmp_path)
    assert run.reason == "the baseline failed: another model is served"
