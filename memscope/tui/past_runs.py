"""The bridge between the Runs screen and the runs on disk: asked in threads, laid over the conversation."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from memscope.conversation.model import Conversation, Entry, Memory, Place, Role, Source, Span
from memscope.database import FILE
from memscope.scoring.compare import Comparison, compare
from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.scoring.runs import RunInfo, Runs
from memscope.settings import cache_dir

T = TypeVar("T")


@dataclass(frozen=True)
class Compared:
    """Run b less run a under one metric, with both matrices to compare them under another."""

    a: RunInfo
    b: RunInfo
    matrices: tuple[ScoreMatrix, ScoreMatrix]
    metric: Metric
    found: Comparison

    async def under_next_metric(self) -> "Compared":
        """The same two under the next metric that both have."""
        metrics = _metrics(*self.matrices)
        metric = metrics[(metrics.index(self.metric) + 1) % len(metrics)]
        found = await asyncio.to_thread(compare, *self.matrices, metric)
        return replace(self, metric=metric, found=found)


class PastRuns:
    """Asks for a session's runs without the screen waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: Runs | None = None

    async def of(self, source: Source) -> tuple[list[RunInfo], str]:
        """The runs of a conversation, newest first, and why they can't be read, empty if they can. Raises
        InputError if the settings can't be read."""
        return await asyncio.to_thread(
            self._ask, lambda runs: (runs.of(source.path, source.branch), runs.problem or "")
        )

    async def matrix(self, run: RunInfo) -> ScoreMatrix:
        """A run's matrix as it was. Raises InputError if it is not there any more, or is damaged."""
        return await asyncio.to_thread(self._ask, lambda runs: runs.matrix(run.id))

    async def compared(self, a: RunInfo, b: RunInfo) -> Compared:
        """Run b less run a, under the metric of b if both have it, else signed. Raises InputError as `matrix`
        does."""
        matrices = await self.matrix(a), await self.matrix(b)
        metric = b.metric if b.metric in _metrics(*matrices) else Metric.SIGNED
        return Compared(a, b, matrices, metric, await asyncio.to_thread(compare, *matrices, metric))

    async def delete(self, run: RunInfo) -> str:
        """Delete a run; why that can't be, empty if it is done."""

        def delete(runs: Runs) -> str:
            return "" if runs.delete(run.id) else runs.problem or "The run could not be deleted."

        return await asyncio.to_thread(self._ask, delete)

    def close(self) -> None:
        """Close the file."""
        if self._runs is not None:
            self._runs.close()

    def _ask(self, question: Callable[[Runs], T]) -> T:
        with self._lock:
            if self._runs is None:
                self._runs = Runs(cache_dir() / FILE)
            runs = self._runs
            answer = question(runs)
            if runs.problem:  # a file that can be used again is only found by opening it again
                runs.close()
                self._runs = None
            return answer


def _metrics(a: ScoreMatrix, b: ScoreMatrix) -> list[Metric]:
    """The metrics that both matrices have."""
    per_token = a.per_token and b.per_token
    return [metric for metric in Metric if per_token or metric is not Metric.TOKEN_CLAMPED]


@dataclass(frozen=True)
class Laid:
    """Rows and columns of a past matrix laid over the conversation as it is now.

    `conversation` has a memory for every row and an entry for every column; those that are gone are empty.
    `memories` and `responses` say which of the present ones each is, None where it is gone.
    """

    conversation: Conversation
    memories: tuple[int | None, ...]
    responses: tuple[int | None, ...]
    new: tuple[int, int]
    """How many memories and responses of the present conversation the past matrix does not have."""

    @property
    def gone(self) -> tuple[int, int]:
        """How many memories and responses of the past matrix are no longer in the conversation."""
        return self.memories.count(None), self.responses.count(None)

    def present(self, memory: int, response: int) -> tuple[int, int] | None:
        """The present cell that a past one is; None if its memory or its response is gone."""
        row, column = self.memories[memory], self.responses[response]
        return None if row is None or column is None else (row, column)

    def past(self, memory: int, response: int) -> tuple[int, int] | None:
        """The past cell that a present one was; None if it was not there."""
        if memory not in self.memories or response not in self.responses:
            return None
        return self.memories.index(memory), self.responses.index(response)


def laid_over(conversation: Conversation, keys: Sequence[str], entries: Sequence[int]) -> Laid:
    """Match the memories of a past matrix by key and its responses by entry."""
    rows = {memory.key: row for row, memory in enumerate(conversation.memories)}
    columns = {entry: column for column, entry in enumerate(conversation.responses)}
    laid = list(conversation.entries)
    laid += [Entry(Role.ASSISTANT, "")] * (max(entries, default=-1) + 1 - len(laid))
    for entry in entries:
        if entry not in columns:
            laid[entry] = Entry(Role.ASSISTANT, "")
    memories = []
    for key in keys:
        if key in rows:
            memories.append(conversation.memories[rows[key]])
        else:  # whatever looks for its place finds it behind everything
            memories.append(Memory(key, (Place(len(laid), Span(0, 0)),)))
            laid.append(Entry(Role.SYSTEM, "", memory_key=key))
    return Laid(
        Conversation(tuple(laid), tuple(memories), conversation.source),
        tuple(rows.get(key) for key in keys),
        tuple(columns.get(entry) for entry in entries),
        (len(rows.keys() - set(keys)), len(columns.keys() - set(entries))),
    )
