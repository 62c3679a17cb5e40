"""What the scorers that run a model in this process have in common: chunks, spans, and the kept prefix."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from memscope.errors import ModelError, ScorerError
from memscope.scorers.base import LogProbs, ScoreRequest, SpanScore, TokenIds, common_prefix

_CAPACITY_STEP = 512


class Cache(Protocol):
    """The keys and values of a prompt's first positions."""

    @property
    def capacity(self) -> int:
        """How many positions fit."""

    def copy(self, other: Self, start: int, stop: int) -> None:
        """Take over the positions [start, stop) of another cache."""


CacheT = TypeVar("CacheT", bound=Cache)


class LocalScorer(ABC, Generic[CacheT]):
    """Scores prompts with a model in this process; requests run one after another, in a thread of their own.

    The keys and values of the last request with `keep` stay; of the next ones only those tokens are computed
    that follow the prefix they share with it, which is at most their `shared` first tokens.
    """

    noise_floor = 1e-4
    per_token = True
    concurrency = 1
    notes: Sequence[str] = ()
    signature: LogProbs | None = None

    def __init__(self, model: str, vocabulary: int, context_length: int, *, reuse: bool) -> None:
        """Without `reuse` every prompt is computed from its first token."""
        self.model = model
        self.context_length = context_length
        self.reuses_prefix = reuse
        self.tokens_computed = 0
        self._vocabulary = vocabulary
        self._lock = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, "memscope-scorer")
        self._kept: CacheT | None = None
        self._kept_ids: TokenIds = np.empty(0, np.int32)
        self._spare: CacheT | None = None
        self._copied = 0  # positions at the spare cache's start that are copies of the kept cache's

    async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore, None]:
        """Score the request's spans, each yielded once as soon as all its tokens are known.

        Raises ScorerError if the prompt can't be scored. Closing the iterator or cancelling the task stops
        the work at the end of the running chunk, or sooner.
        """
        positions = self._check(request)
        ends = [int(span.max(initial=0)) for span in request.spans]
        waiting = sorted(range(len(ends)), key=ends.__getitem__)
        logprobs = np.full(len(request.ids), np.nan, np.float32)
        run = asyncio.get_running_loop().run_in_executor
        left = threading.Event()
        async with self._lock:
            try:
                cache, start = await run(self._worker, self._begin, request, positions)
                for stop in self._stops(start, len(request.ids)):
                    if stop > start:
                        scored = positions[(positions > start) & (positions <= stop)]
                        logprobs[scored] = await run(
                            self._worker, self._advance, request, cache, start, stop, scored, left
                        )
                    start = stop
                    while waiting and ends[waiting[0]] <= stop:
                        span = waiting.pop(0)
                        yield SpanScore(span, logprobs[request.spans[span]])
            finally:
                left.set()

    async def aclose(self) -> None:
        """Let the worker thread end."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    @abstractmethod
    def _open(self) -> None:
        """Read the weights unless they are there. In the worker thread, like all below.

        Raises ModelError if they can't be read, MemoryError if they do not fit.
        """

    @abstractmethod
    def _chunk(self) -> int:
        """About how many tokens to compute between two chances to stop. The weights are there."""

    @abstractmethod
    def _new_cache(self, capacity: int) -> CacheT:
        """An empty cache for `capacity` positions. Raises MemoryError."""

    @abstractmethod
    def _compute(
        self,
        ids: TokenIds,
        start: int,
        stop: int,
        cache: CacheT,
        scored: TokenIds,
        left: threading.Event,
    ) -> LogProbs:
        """Compute the positions [start, stop) of a prompt's `ids` [T].

        `cache` holds those before `start`, and those before `stop` afterwards. Gives the log-probabilities
        [n], in nats, of the tokens at the positions `scored` [n], which rise and lie in (start, stop]. Once
        `left` is set nobody waits for them: it may raise anything. Raises MemoryError or ScorerError.
        """

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

    def _stops(self, start: int, length: int) -> list[int]:
        """`start`, then where the chunks of [start, length) end, which are of equal size."""
        chunks = max(1, round((length - start) / self._chunk()))
        return [start, *(start + (length - start) * (i + 1) // chunks for i in range(chunks))]

    def _begin(self, request: ScoreRequest, positions: TokenIds) -> tuple[CacheT, int]:
        """The cache to compute in and the first position to compute."""
        try:
            self._open()
            start = common_prefix(request.ids[: request.shared], self._kept_ids) if self.reuses_prefix else 0
            if len(positions):  # the token before the first scored one must run to predict it
                start = min(start, int(positions[0]) - 1)
            if request.keep and self.reuses_prefix:
                self._kept = self._with_room(self._kept, len(request.ids), start)
                self._kept_ids = request.ids[:start].copy()
                self._copied = min(self._copied, start)
                return self._kept, start
            self._spare = self._with_room(self._spare, len(request.ids), min(self._copied, start))
            if self._kept is not None and self._copied < start:
                self._spare.copy(self._kept, self._copied, start)
            self._copied = start
            return self._spare, start
        except MemoryError as error:
            raise ScorerError(self._out_of_memory(request)) from error
        except ModelError as error:
            raise ScorerError(str(error), final=True) from error

    def _advance(
        self,
        request: ScoreRequest,
        cache: CacheT,
        start: int,
        stop: int,
        scored: TokenIds,
        left: threading.Event,
    ) -> LogProbs:
        """Compute the positions [start, stop), of which nothing counts unless all of it is done."""
        try:
            logprobs = self._compute(request.ids, start, stop, cache, scored, left)
        except MemoryError as error:
            raise ScorerError(self._out_of_memory(request)) from error
        self.tokens_computed += stop - start
        if cache is self._kept:
            self._kept_ids = request.ids[:stop].copy()
        if not np.isfinite(logprobs).all():
            raise ScorerError(
                f"{self.model} gave log-probabilities that are not finite; its weights may be bad.",
                final=True,
            )
        return logprobs

    def _with_room(self, cache: CacheT | None, length: int, valid: int) -> CacheT:
        """The cache itself or, if `length` positions do not fit, a larger one with its first `valid`."""
        if cache is not None and cache.capacity >= length:
            return cache
        larger = self._new_cache(-(-length // _CAPACITY_STEP) * _CAPACITY_STEP)
        if cache is not None:
            larger.copy(cache, 0, valid)
        return larger

    def _out_of_memory(self, request: ScoreRequest) -> str:
        return (
            f"There is not enough memory to run {self.model} on {len(request.ids)} tokens; close other"
            " programs or use a smaller model."
        )
