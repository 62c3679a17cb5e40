"""What the scorers that run a model in this process have in common: chunks, spans, and kept prompts."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic

import numpy as np

from memscope.errors import ModelError, ScorerError
from memscope.scorers.base import LogProbs, ScoreRequest, SpanScore, TokenIds
from memscope.scorers.kept import CacheT, KeptPrompts, Room, Stretch
from memscope.scorers.memory import free_memory

_SHARE = 4
"""Of the free memory one part in so many goes to the kept prompts, unless another budget is given."""


class LocalScorer(ABC, Generic[CacheT]):
    """Scores prompts with a model in this process, in a thread of its own.

    The keys and values of baselines and, within a budget, of branches stay; of the next prompts only those
    tokens are computed that follow what they share with one of them. Requests are served in the order in
    which they came; those behind the first that are short enough are computed along with it.
    """

    noise_floor = 1e-4
    per_token = True
    concurrency = 1
    notes: Sequence[str] = ()
    signature: LogProbs | None = None

    def __init__(
        self, model: str, vocabulary: int, context_length: int, *, reuse: bool, kv_budget: int | None
    ) -> None:
        """Without `reuse` every prompt is computed from its first token. `kv_budget` bytes are for what is
        kept; 0 keeps but the baseline, None stands for a quarter of the memory that is free at first."""
        self.model = model
        self.context_length = context_length
        self.reuses_prefix = reuse
        self.tokens_computed = 0
        self._vocabulary = vocabulary
        self._kv_budget = kv_budget
        self._kept: KeptPrompts[CacheT] = KeptPrompts(self._new_cache)
        self._worker = ThreadPoolExecutor(1, "memscope-scorer")
        self._waiting: list[_Job[CacheT]] = []
        self._is_open = False

    @property
    def batch_tokens(self) -> int:
        """None together."""
        return 0

    @property
    def bytes_kept(self) -> int:
        """What the keys and values that stay take."""
        return self._kept.bytes

    async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore, None]:
        """Score the request's spans, each yielded once as soon as all its tokens are known.

        Raises ScorerError if the prompt can't be scored. Closing the iterator or cancelling the task stops
        the work at the end of the running chunk, or sooner.
        """
        job: _Job[CacheT] = _Job(request, self._check(request))
        ends = [int(span.max(initial=0)) for span in request.spans]
        waiting = sorted(range(len(ends)), key=ends.__getitem__)
        run = asyncio.get_running_loop().run_in_executor
        self._waiting.append(job)
        try:
            await asyncio.sleep(0)  # whoever asks at the same time is in time for the same batch
            while not job.ended:
                await run(self._worker, self._step, job, job.at)
                if job.error is not None:
                    raise job.error
                while waiting and ends[waiting[0]] <= job.at:
                    span = waiting.pop(0)
                    yield SpanScore(span, job.logprobs[request.spans[span]])
        finally:
            job.left.set()
            self._waiting.remove(job)
            if not job.ended:
                with suppress(RuntimeError):  # the worker may have been told to end
                    self._worker.submit(self._close, job)

    def tokens_kept(self, request: ScoreRequest) -> int:
        """How many of a request's first tokens need not be computed as things stand."""
        return self._kept.start_of(request) if self.reuses_prefix else 0

    async def forget(self) -> None:
        """Let go of all kept prompts."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._kept.clear)

    async def aclose(self) -> None:
        """Let the worker thread end, and the kept prompts go."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._kept.clear()

    @abstractmethod
    def _open(self) -> None:
        """Read the weights unless they are there. In the worker thread, like all below.

        Raises ModelError if they can't be read, MemoryError if they do not fit.
        """

    @abstractmethod
    def _chunk(self) -> int:
        """About how many tokens to compute between two chances to stop. The weights are there."""

    @abstractmethod
    def _new_cache(self, first: int, capacity: int) -> CacheT:
        """An empty cache for `capacity` positions from `first` on. Raises MemoryError."""

    @abstractmethod
    def _compute(self, stretches: Sequence[Stretch[CacheT]], left: Callable[[], bool]) -> Sequence[LogProbs]:
        """Compute stretches of one prompt each; for each the log-probabilities [n], in nats, of the tokens
        asked for. One stretch alone unless there are `batch_tokens`.

        Once `left()` nobody waits for them: it may raise anything. Raises MemoryError or ScorerError.
        """

    def _free_memory(self) -> int:
        """Bytes free where the caches are."""
        return free_memory()

    def _check(self, request: ScoreRequest) -> TokenIds:
        """The positions to score [n], in order, each once."""
        length = len(request.ids)
        if not 0 < length <= self.context_length:
            raise ScorerError(
                f"The prompt has {length} tokens; {self.model} takes 1 to {self.context_length}.", final=True
            )
        if request.ids.min() < 0 or request.ids.max() >= self._vocabulary:
            raise ScorerError(
                f"The prompt has tokens that {self.model} ({self._vocabulary} tokens) does not know.",
                final=True,
            )
        positions = np.unique(np.concatenate([np.empty(0, np.intp), *request.spans])).astype(np.int32)
        if len(positions) and (positions[0] < 1 or positions[-1] >= length):
            raise ScorerError(
                f"Positions {positions[0]} to {positions[-1]} are not all in 1 to {length - 1}.", final=True
            )
        return positions

    def _step(self, job: "_Job[CacheT]", at: int) -> None:
        """Compute the next chunk of whatever has waited longest, unless the job is further than `at` by now.

        Every error is the affected jobs'.
        """
        if job.at > at or job.error is not None or job.left.is_set():
            return
        batch: list[_Job[CacheT]] = []
        try:
            self._open_once()
            batch = self._next_batch()
            if batch:
                self._advance(batch)
        except MemoryError:
            for one in batch or [job]:
                one.error = ScorerError(self._out_of_memory(one.request))
        except ModelError as error:
            job.error = ScorerError(str(error), final=True)
        except BaseException as error:
            for one in batch or [job]:
                one.error = error

    def _open_once(self) -> None:
        if not self._is_open:
            self._open()
            budget = self._kv_budget
            self._kept.budget = self._free_memory() // _SHARE if budget is None else budget
            self._is_open = True

    def _next_batch(self) -> list["_Job[CacheT]"]:
        """The job that has waited longest, and those behind it that can be finished along with it."""
        batch: list[_Job[CacheT]] = []
        space = self._chunk()
        for job in tuple(self._waiting):
            if job.left.is_set() or job.ended or job.error is not None:
                continue
            if batch:
                begins = job.at if job.room is not None else self.tokens_kept(job.request)
                if len(job.request.ids) - begins > min(space, self.batch_tokens):
                    continue
            if job.room is None:
                try:
                    self._begin(job)
                except MemoryError:
                    job.error = ScorerError(self._out_of_memory(job.request))
                    continue
            if not job.ended:
                batch.append(job)
                space -= job.stops[0] - job.at
            if space <= 0 or not self.batch_tokens:
                break
        return batch

    def _begin(self, job: "_Job[CacheT]") -> None:
        """Give a job the room to compute in, and the ends of its chunks, which are of equal size."""
        length = len(job.request.ids)
        if self.reuses_prefix:
            job.room = self._kept.open(job.request)
        else:
            job.room = Room(0, (), self._new_cache(0, length), None)
        start = job.room.start
        chunks = max(1, round((length - start) / self._chunk()))
        stops = [start + (length - start) * (i + 1) // chunks for i in range(chunks)]
        job.stops = stops
        job.at = start
        if job.ended:
            self._close(job)

    def _advance(self, batch: Sequence["_Job[CacheT]"]) -> None:
        """Compute the next chunks, of which nothing counts unless all of it is done."""
        stretches = [job.next_stretch() for job in batch]
        found = self._compute(stretches, lambda: all(job.left.is_set() for job in batch))
        for job, stretch, logprobs in zip(batch, stretches, found, strict=True):
            self.tokens_computed += stretch.stop - stretch.start
            if not np.isfinite(logprobs).all():
                job.error = ScorerError(
                    f"{self.model} gave log-probabilities that are not finite; its weights may be bad.",
                    final=True,
                )
                continue
            assert job.room is not None
            self._kept.advance(job.room, job.request.ids[: stretch.stop])
            job.logprobs[stretch.scored] = logprobs
            job.stops.pop(0)
            job.at = stretch.stop
            if job.ended:
                self._close(job)

    def _close(self, job: "_Job[CacheT]") -> None:
        """Give back the room of a job that has ended, or that nobody waits for."""
        if job.room is not None and self.reuses_prefix:
            self._kept.close(job.room)
        job.room = None

    def _out_of_memory(self, request: ScoreRequest) -> str:
        return (
            f"There is not enough memory to run {self.model} on {len(request.ids)} tokens; close other"
            " programs or use a smaller model."
        )


class _Job(Generic[CacheT]):
    """A request under way: how far it is (`at` is -1 until it begins) and what is known."""

    def __init__(self, request: ScoreRequest, positions: TokenIds) -> None:
        self.request = request
        self.positions = positions
        self.logprobs: LogProbs = np.full(len(request.ids), np.nan, np.float32)
        self.room: Room[CacheT] | None = None
        self.stops: list[int] = []
        self.at = -1
        self.error: BaseException | None = None
        self.left = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether all its tokens are computed."""
        return self.at == len(self.request.ids)

    def next_stretch(self) -> Stretch[CacheT]:
        """Its next chunk."""
        assert self.room is not None
        start, stop = self.at, self.stops[0]
        scored = self.positions[(self.positions > start) & (self.positions <= stop)]
        return Stretch(self.request.ids, start, stop, self.room.cache, self.room.before, scored)
