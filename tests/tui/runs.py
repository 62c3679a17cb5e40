"""Runs that are not of any real scoring, for what only reads them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from memscope.scoring.compare import Comparison, compare
from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.scoring.runs import RunInfo, RunState

NOON = datetime(2026, 3, 6, 12, 0, 7, tzinfo=UTC)
NAN = float("nan")


def run(**changed: Any) -> RunInfo:
    """A complete run of 5 cells, but for what is said otherwise."""
    known: dict[str, Any] = {
        "session": "/logs/talk.jsonl",
        "branch": "",
        "title": "talk",
        "began": NOON,
        "seconds": 65.0,
        "scorer": "embedded",
        "model": "tiny",
        "exact": True,
        "metric": Metric.SIGNED,
        "state": RunState.COMPLETE,
        "reason": "",
        "scored": 5,
        "failed": 0,
        "missing": 0,
        "tokens_computed": 1234,
        "tokens_needed": 2000,
        "cells_from_cache": 2,
        "requests": 3,
        "memories": 2,
        "responses": 3,
        "strongest": "home",
        "weight": 2.5,
        "id": 1,
    }
    return RunInfo(**(known | changed))


def matrix(
    cells: dict[str, Sequence[float]], entries: Sequence[int], noise: float = 0.0, *, per_token: bool = True
) -> ScoreMatrix:
    """Rows of divergences by key, pending where NaN."""
    shape = len(cells), len(entries)
    made = ScoreMatrix(list(cells), entries, np.ones(shape, np.bool_), per_token=per_token)
    for row, values in enumerate(cells.values()):
        for column, value in enumerate(values):
            if not np.isnan(value):
                made.set_scored(row, column, np.array([value], np.float32), np.zeros(1, np.float32))
    made.noise[:] = noise
    return made


def compared(a: ScoreMatrix, b: ScoreMatrix) -> Comparison:
    """b less a."""
    return compare(a, b, Metric.SIGNED)
