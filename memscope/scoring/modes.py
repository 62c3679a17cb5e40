"""The other modes of scoring: one memory, the memories that are due, and all memories left out at once.

Each restricts which responses are scored, never what stands before them: a cell has the same number as in the
full matrix, and what one mode has scored no other scores again.
"""

import asyncio
import difflib
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation
from memscope.ledger import Ledger, LedgerEntry
from memscope.scoring.candidates import Candidate, candidates
from memscope.scoring.matrix import ALL_MEMORIES, CellState, ScoreMatrix
from memscope.scoring.run import Run
from memscope.scoring.session import Session

MEMORY_WINDOW = 50
"""Responses after its first entry for which a single memory is scored."""


class Outcome(StrEnum):
    """How the scoring of a memory ended."""

    SCORED = "scored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Spent:
    """What the cells of a mode cost: tokens through the model for each prompt anew, with the baseline's
    prefix reused, and really; cells that the store knew, requests, and seconds."""

    tokens_naive: int
    tokens_needed: int
    tokens_computed: int
    cells_from_cache: int
    requests: int
    seconds: float


@dataclass(frozen=True)
class MemoryScore:
    """The divergence of one memory in nats, summed over those `responses` (indexes) of its window that can
    see it; None if a cell failed or none sees it. `reason` says why it is not scored."""

    key: str
    outcome: Outcome
    divergence: float | None
    responses: tuple[int, ...] = ()
    within_noise: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class IncrementalScore:
    """The largest divergence of one memory in nats among those `responses` (indexes) of its window that can
    see it, the response that has it, and what it made of the memory's entry in the ledger; None unless
    scored. `reason` says why it is not."""

    memory: int
    key: str
    outcome: Outcome
    divergence: float | None = None
    response: int | None = None
    responses: tuple[int, ...] = ()
    within_noise: bool = False
    reason: str | None = None
    entry: LedgerEntry | None = None


@dataclass(frozen=True)
class Training:
    """Candidates, largest divergence first and those without one last, the largest noise of any in nats, and
    what they cost."""

    candidates: tuple[Candidate, ...]
    noise_floor: float | None
    spent: Spent


async def score_memory(session: Session, key: str, *, fresh: bool = False) -> MemoryScore:
    """Score one memory from its first entry to the 50th response after it.

    0 with a reason where the memory is absent or no response follows it. Raises MemscopeError if the session
    is not prepared.
    """
    run = session.prepared_run()
    if key not in run.matrix.keys:
        return MemoryScore(key, Outcome.SKIPPED, 0.0, reason=_absent(key, run.matrix.keys))
    memory = run.matrix.keys.index(key)
    window = _following(session.conversation, memory)[:MEMORY_WINDOW]
    if not window:
        return MemoryScore(key, Outcome.SKIPPED, 0.0, reason="no response follows it")
    responses = _visible(run, memory, window)
    if not responses:
        return MemoryScore(key, Outcome.SKIPPED, None, reason=_OUT_OF_SIGHT)
    async with aclosing(run.score(fresh=fresh, only=cells_of(run, {memory: responses}))) as changes:
        async for _ in changes:
            pass
    if reason := _failure(run.matrix, memory, responses):
        return MemoryScore(key, Outcome.FAILED, None, responses, reason=reason)
    total = float(run.matrix.values(session.metric)[memory, responses].sum())
    noise = bool(run.matrix.within_noise(session.metric)[memory, responses].all())
    return MemoryScore(key, Outcome.SCORED, total, responses, noise)


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def score_incremental(
    session: Session,
    ledger: Ledger,
    *,
    max_age: float,
    window: int,
    fresh: bool = False,
    now: Callable[[], datetime] = _utc_now,
) -> AsyncGenerator[IncrementalScore]:
    """Score each memory that the ledger does not know as scored within the last `max_age` seconds, over
    `window` responses from its first entry.

    First come those that are skipped, each with its reason: without so many responses unless the first entry
    lies in the conversation's first quarter, or with none. Then the others, never scored ones first in order
    of their first entries, then oldest last score first. Each is in the ledger before it is yielded; one
    that failed is not entered. Raises MemscopeError if the session is not prepared.
    """
    run = session.prepared_run()
    responses: dict[int, tuple[int, ...]] = {}
    for memory in await asyncio.to_thread(_due, session, ledger, max_age, now()):
        found = _window(session.conversation, run, memory, window)
        if isinstance(found, str):
            yield IncrementalScore(memory, run.matrix.keys[memory], Outcome.SKIPPED, reason=found)
        else:
            responses[memory] = found
    # a row of the run each: memories side by side in the plan's windows share the baseline's prefix
    for _, group in itertools.groupby(responses, key=lambda memory: _windows_of(run, responses[memory])):
        waiting = list(group)
        cells = cells_of(run, {memory: responses[memory] for memory in waiting})
        async with aclosing(run.score(fresh=fresh, only=cells, order=tuple(waiting))) as changes:
            async for _ in changes:
                while waiting and _settled(run.matrix, waiting[0], responses[waiting[0]]):
                    memory = waiting.pop(0)
                    yield await asyncio.to_thread(_enter, session, ledger, memory, responses[memory], now())


async def score_training(session: Session, last: int, *, fresh: bool = False) -> Training:
    """Score the responses among the `last` entries with all memories left out at once.

    Raises MemscopeError if the session is not prepared.
    """
    memories = len(session.conversation.memories)
    run = await session.run_without([tuple(range(memories))], [ALL_MEMORIES])
    begin = len(session.conversation.entries) - last
    recent = [r for r, entry in enumerate(session.conversation.responses) if entry >= begin]
    cells = cells_of(run, {0: recent}) & run.plan.possible()
    async with aclosing(run.score(fresh=fresh, only=cells)) as changes:
        async for _ in changes:
            pass
    found = candidates(run.matrix, session.metric, recent)
    return Training(found, run.matrix.noise_floor, spent_on(run, cells))


def cells_of(run: Run, responses: Mapping[int, Sequence[int]]) -> NDArray[np.bool_]:
    """A run's cells [rows, R] in these rows and columns."""
    cells = np.zeros(run.matrix.shape, np.bool_)
    for row, columns in responses.items():
        cells[row, list(columns)] = True
    return cells


def spent_on(run: Run, cells: NDArray[np.bool_]) -> Spent:
    """What these cells [rows, R] of a run cost, alone, and what the run has spent."""
    columns = np.asarray(cells.any(axis=0))
    return Spent(
        run.plan.tokens_to_compute(cells, columns, reuse=False),
        run.plan.tokens_to_compute(cells, columns),
        run.tokens_computed,
        int((run.recalled & cells).sum()),
        run.requests,
        run.seconds,
    )


def spent_incrementally(session: Session, results: Sequence[IncrementalScore]) -> Spent:
    """What the cells of incremental results cost. Raises MemscopeError if the session is not prepared."""
    run = session.prepared_run()
    return spent_on(run, cells_of(run, {result.memory: result.responses for result in results}))


def with_all_noise(session: Session, results: Sequence[IncrementalScore]) -> list[IncrementalScore]:
    """Incremental results by the noise that is known when all are there: some of it is measured late."""
    noise = session.matrix.within_noise(session.metric)
    return [
        result
        if result.response is None
        else replace(result, within_noise=bool(noise[result.memory, result.response]))
        for result in results
    ]


_OUT_OF_SIGHT = "no response sees it within the model's context"


def _absent(key: str, keys: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(key, keys, cutoff=0.5)
    if nearest:
        return f"the conversation holds no such memory; the nearest: {', '.join(nearest)}"
    return f"the conversation holds no such memory, and none of its {len(keys)} has a name like it"


def _following(conversation: Conversation, memory: int) -> list[int]:
    """The indexes of the responses after a memory's first entry."""
    first = conversation.memories[memory].places[0].entry
    return [response for response, entry in enumerate(conversation.responses) if entry > first]


def _visible(run: Run, memory: int, responses: Sequence[int]) -> tuple[int, ...]:
    """Those of these responses that can have a number."""
    states = run.matrix.states[memory]
    return tuple(response for response in responses if states[response] != CellState.IMPOSSIBLE)


def _settled(matrix: ScoreMatrix, memory: int, responses: Sequence[int]) -> bool:
    """Whether all these cells are scored or failed."""
    return all(matrix.states[memory, r] in (CellState.SCORED, CellState.FAILED) for r in responses)


def _failure(matrix: ScoreMatrix, memory: int, responses: Sequence[int]) -> str | None:
    """Why not all these cells are scored, if they are not."""
    if (matrix.states[memory, list(responses)] == CellState.SCORED).all():
        return None
    return matrix.errors.get(memory, "the scorer gave no score")


def _due(session: Session, ledger: Ledger, max_age: float, now: datetime) -> list[int]:
    """The memories last scored at least `max_age` seconds ago (or, by a clock that was wrong, later than
    now), oldest first, after those never scored."""
    assert session.scorer is not None
    model = session.scorer.model
    scored = {entry.key: entry.last_scored for entry in ledger.entries() if entry.model == model}
    keys = [memory.key for memory in session.conversation.memories]
    never = [memory for memory, key in enumerate(keys) if key not in scored]
    old = [
        memory
        for memory, key in enumerate(keys)
        if key in scored and not 0 <= (now - scored[key]).total_seconds() < max_age
    ]
    return never + sorted(old, key=lambda memory: scored[keys[memory]])


def _window(conversation: Conversation, run: Run, memory: int, size: int) -> tuple[int, ...] | str:
    """The responses of a memory's window that can see it, or why it is skipped."""
    following = _following(conversation, memory)
    early = 4 * conversation.memories[memory].places[0].entry < len(conversation.entries)
    if not following:
        return "no response follows it"
    if len(following) < size and not early:
        return f"only {len(following)} of {size} responses follow it"
    return _visible(run, memory, following[:size]) or _OUT_OF_SIGHT


def _windows_of(run: Run, responses: Sequence[int]) -> list[int]:
    """The plan's windows in which these responses are scored."""
    return [n for n, window in enumerate(run.plan.windows) if not set(responses).isdisjoint(window.responses)]


def _enter(
    session: Session, ledger: Ledger, memory: int, responses: tuple[int, ...], now: datetime
) -> IncrementalScore:
    """The result of a settled memory, entered in the ledger unless it failed."""
    assert session.scorer is not None
    matrix, key = session.matrix, session.matrix.keys[memory]
    if reason := _failure(matrix, memory, responses):
        return IncrementalScore(memory, key, Outcome.FAILED, responses=responses, reason=reason)
    values = matrix.values(session.metric)[memory]
    response = max(responses, key=lambda response: float(values[response]))
    value = float(values[response])
    return IncrementalScore(
        memory,
        key,
        Outcome.SCORED,
        value,
        response,
        responses,
        bool(matrix.within_noise(session.metric)[memory, response]),
        entry=ledger.record(key, session.scorer.model, value, now, session.conversation.source.path),
    )
