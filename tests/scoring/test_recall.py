"""Filling a matrix from the store."""

import asyncio
import threading
from collections.abc import Iterable

import pytest

from memscope.scorers.base import LogProbs
from memscope.scoring.matrix import CellState
from memscope.store import Store
from tests.scorers_fake import HashScorer
from tests.scoring.test_run import TALKED, run_of, score


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
