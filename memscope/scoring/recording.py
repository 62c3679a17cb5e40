"""A scoring from its beginning to its end, whichever that is, made a run to be kept."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from memscope.activity import Activities
from memscope.conversation.model import Conversation
from memscope.scorers.base import Scorer
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.run import Run
from memscope.scoring.runs import RunInfo, Runs, RunState


@asynccontextmanager
async def recorded(
    runs: Runs,
    run: Run,
    conversation: Conversation,
    scorer: Scorer,
    metric: Metric,
    known: NDArray[np.bool_],
    activities: Activities,
) -> AsyncIterator[None]:
    """Keep what the block scores as a run, if it asks for anything or recalls a cell that is not `known`
    [rows, R] yet; those it has recalled are known afterwards. Where it can't be kept that is told, once, and
    nothing fails.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    tokens, requests = run.tokens_computed, run.requests
    reason, ended = "", False
    try:
        yield
        ended = True
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        recalled = int((run.recalled & ~known).sum())
        known[:] = run.recalled
        if recalled or run.requests > requests:
            matrix, source = copy.deepcopy(run.matrix), conversation.source
            matrix.stop_running()  # another score of the run may have begun
            key, weight = _strongest(matrix, metric)
            info = RunInfo(
                session=source.path,
                branch=source.branch,
                title=source.title,
                began=began,
                seconds=time.monotonic() - clock,
                scorer=scorer.name,
                model=scorer.model,
                exact=scorer.exact,
                metric=metric,
                state=_state(matrix, reason, ended),
                reason=reason or next(iter(matrix.errors.values()), ""),
                scored=matrix.count(CellState.SCORED),
                failed=matrix.count(CellState.FAILED),
                missing=matrix.count(CellState.PENDING),
                tokens_computed=run.tokens_computed - tokens,
                tokens_needed=run.plan.cost.tokens_needed,
                cells_from_cache=recalled,
                requests=run.requests - requests,
                memories=len(matrix.keys),
                responses=len(matrix.responses),
                strongest=key,
                weight=weight,
            )
            before = runs.problem
            # even if cancelled meanwhile
            await asyncio.shield(asyncio.to_thread(runs.record, info, matrix))
            if runs.problem and not before:
                activities.notify(runs.problem)


def _state(matrix: ScoreMatrix, reason: str, ended: bool) -> RunState:
    if reason:
        return RunState.FAILED
    if not ended and matrix.count(CellState.PENDING):
        return RunState.STOPPED
    return RunState.FAILED if matrix.count(CellState.FAILED) else RunState.COMPLETE


def _strongest(matrix: ScoreMatrix, metric: Metric) -> tuple[str, float] | tuple[None, None]:
    weights = matrix.weights(metric)
    if np.isnan(weights).all():
        return None, None
    row = int(np.nanargmax(weights))
    return matrix.keys[row], float(weights[row])
