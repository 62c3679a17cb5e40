"""Filling a matrix from the store, and from a run that is kept there."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memscope.database import FILE
from memscope.scorers.base import LogProbs, ScoreRequest, SpanScore
from memscope.scoring.matrix import CellState, Metric
from memscope.store import Store
from tests.scorers_fake import TALK, HashScorer, conversation, prepared, reference, scored
from tests.scoring.test_growth import GROWN
from tests.scoring.test_run import TALKED, run_of, score


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The names that any store is asked for."""
    names: list[bytes] = []
    get = Store.get

    def noting(store: Store, keys: Iterable[bytes]) -> dict[bytes, LogProbs]:
        names.extend(wanted := list(keys))
        return get(store, wanted)

    monkeypatch.setattr(Store, "get", noting)
    return names


def halved(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
    """An `answer` of the same model on another day."""
    return replace(score, logprobs=score.logprobs * np.float32(0.5))


def has_scored_all(numbers: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> bool:
    """Whether these are the divergences of `TALK`."""
    return np.allclose(numbers, reference(conversation(*TALK))[0], equal_nan=True, atol=1e-5)


class TestFromAKeptRun:
    """A session whose matrix a run keeps takes it from there."""

    def test_only_baselines_are_looked_up(self, tmp_path: Path, asked: list[bytes]) -> None:
        scored(TALKED, tmp_path)
        asked.clear()
        session = prepared(TALKED, tmp_path)
        assert len(asked) == len(TALKED.responses)
        assert has_scored_all(session.matrix.values(Metric.SIGNED))
        assert np.isfinite(session.matrix.values(Metric.TOKEN_CLAMPED)).sum() == 5
        assert session.prepared_run().cells_from_cache == 5
        assert session.tokens_missing() == 0
        session.close()

    def test_the_tokens_of_its_cells_are_there_too(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        session = prepared(TALKED, tmp_path)
        view = asyncio.run(session.token_view(1, 0))
        assert view is not None
        assert view.without is not None
        assert (view.with_all - view.without).sum() == pytest.approx(
            session.matrix.values(Metric.SIGNED)[0, 1], abs=1e-5
        )
        session.close()

    def test_of_a_conversation_that_has_grown_the_old_columns_are_taken(
        self, tmp_path: Path, asked: list[bytes]
    ) -> None:
        scored(TALKED, tmp_path)
        asked.clear()
        session = prepared(conversation(*GROWN), tmp_path)
        assert session.matrix.count(CellState.SCORED) == 5
        assert session.matrix.count(CellState.PENDING) == 3
        assert len(asked) == 4 + 3, "baselines, and the cells of the last response"
        session.close()

    def test_of_one_that_was_changed_only_the_columns_before_the_change(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        changed = conversation(*TALK[:5], ("user", "What shall we eat?"), *TALK[6:])
        session = prepared(changed, tmp_path)
        states = session.matrix.states
        assert states[0].tolist() == [CellState.SCORED, CellState.PENDING, CellState.PENDING]
        session.close()

    def test_another_model_under_the_same_name_gets_nothing(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        session = prepared(TALKED, tmp_path, HashScorer(fingerprint="hash 2"))
        assert session.matrix.count(CellState.SCORED) == 0
        session.close()

    def test_cells_against_a_baseline_that_was_scored_again_elsewhere_are_not_taken(
        self, tmp_path: Path
    ) -> None:
        scored(TALKED, tmp_path)
        copied = replace(TALKED, source=replace(TALKED.source, path="copy.jsonl"))
        again = scored(copied, tmp_path, HashScorer(answer=halved), fresh=True)
        session = prepared(TALKED, tmp_path)
        assert np.array_equal(
            session.matrix.values(Metric.SIGNED), again.matrix.values(Metric.SIGNED), equal_nan=True
        )
        session.close()

    @pytest.mark.parametrize("change", ["UPDATE runs SET matrix = x'00'", "DELETE FROM runs"])
    def test_a_damaged_or_deleted_one_costs_only_time(self, tmp_path: Path, change: str) -> None:
        scored(TALKED, tmp_path)
        with closing(sqlite3.connect(tmp_path / FILE)) as file, file:
            file.execute(change)
        session = prepared(TALKED, tmp_path)
        assert has_scored_all(session.matrix.values(Metric.SIGNED))
        session.close()


def test_a_conversation_that_grows_while_it_is_open_takes_its_own_cells(
    tmp_path: Path, asked: list[bytes]
) -> None:
    scored(TALKED, tmp_path)
    session = prepared(TALKED, tmp_path)
    session.adopt(conversation(*GROWN))
    asked.clear()
    asyncio.run(session.prepare())
    assert session.matrix.count(CellState.SCORED) == 5
    assert len(asked) == 4 + 3, "baselines, and the cells of the last response"
    session.close()


def test_a_recall_that_is_cancelled_fills_in_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    score(run_of(TALKED, HashScorer(), store))
    run = run_of(TALKED, HashScorer(fingerprint="another"), store)
    run._fingerprint = HashScorer().fingerprint
    asked, go_on, answered = threading.Event(), threading.Event(), threading.Event()
    get = store.get

    def slow(keys: Iterable[bytes]) -> dict[bytes, LogProbs]:
        asked.set()
        go_on.wait()
        answered.set()
        return get(keys)

    monkeypatch.setattr(store, "get", slow)

    async def interrupted() -> None:
        recall = asyncio.create_task(run.recall())
        await asyncio.to_thread(asked.wait)
        recall.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await recall

    asyncio.run(interrupted())  # which ends when its threads have
    assert answered.is_set()
    assert run.baseline == {}
    assert run.matrix.count(CellState.SCORED) == 0
    asyncio.run(run.recall())
    assert run.matrix.count(CellState.SCORED) > 0
