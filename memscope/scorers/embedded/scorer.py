"""The embedded scorer: exact log-probabilities from the numpy engine, with reuse of the baseline's prefix."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from memscope.errors import ModelError, ScorerError
from memscope.scorers.base import ChatTokenizer, LogProbs, ScoreRequest, SpanScore, TokenIds, common_prefix
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama
from memscope.scorers.tokenizer import FolderTokenizer

_CHUNK = 256
"""Tokens for each thread between two chances to stop: about a second."""
_CAPACITY_STEP = 512


class EmbeddedScorer:
    """Scores prompts on a model folder in this process; requests run one after another.

    The keys and values of the last request with `keep` stay; of the next ones only those tokens are computed
    that follow the prefix they share with it, which is at most their `shared` first tokens.
    """

    name = "embedded"
    exact = True
    noise_floor = 1e-4
    per_token = True
    concurrency = 1
    notes = ()

    def __init__(
        self, folder: ModelFolder, tokenizer: ChatTokenizer | None = None, *, reuse: bool = True
    ) -> None:
        """Read the tokenizer and the fingerprint; the weights are read by the first request.

        `reuse=False` computes every prompt from its first token, for comparison. Raises ModelError.
        """
        self.model = folder.name
        self.fingerprint = folder.fingerprint
        self.context_length = folder.config.context_length
        self.tokenizer: ChatTokenizer = tokenizer or FolderTokenizer(folder.path)
        self.reuses_prefix = reuse
        self.tokens_computed = 0
        self._folder = folder
        self._reuse = reuse
        self._engine: Llama | None = None
        self._lock = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, "memscope-scorer")
        self._kept: KeyValues | None = None
        self._kept_ids: TokenIds = np.empty(0, np.int32)
        self._spare: KeyValues | None = None
        self._copied = 0  # positions at the spare cache's start that are copies of the kept cache's

    async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore, None]:
        """Score the request's spans, each yielded once as soon as all its tokens are known.

        Raises ScorerError if the prompt can't be scored. Closing the iterator or cancelling the task stops
        the work at the end of the running chunk.
        """
        positions = self._check(request)
        ends = [int(span.max(initial=0)) for span in request.spans]
        waiting = sorted(range(len(ends)), key=ends.__getitem__)
        logprobs = np.full(len(request.ids), np.nan, np.float32)
        run = asyncio.get_running_loop().run_in_executor
        async with self._lock:
            cache, start = await run(self._worker, self._begin, request, positions)
            for stop in self._stops(start, len(request.ids)):
                if stop > start:
                    await run(self._worker, self._advance, request, cache, start, stop, positions, logprobs)
                start = stop
                while waiting and ends[waiting[0]] <= stop:
                    span = waiting.pop(0)
                    yield SpanScore(span, logprobs[request.spans[span]])

    async def aclose(self) -> None:
        """Let the worker thread end."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _check(self, request: ScoreRequest) -> TokenIds:
        """The positions to score [n], in order, each once."""
        length = len(request.ids)
        if not 0 < length <= self.context_length:
            raise ScorerError(
                f"The prompt has {length} tokens; {self.model} takes 1 to {self.context_length}."
            )
        vocabulary = self._folder.config.vocabulary
        if request.ids.min() < 0 or request.ids.max() >= vocabulary:
            raise ScorerError(f"The prompt has tokens that {self.model} ({vocabulary} tokens) does not know.")
        positions = np.unique(np.concatenate([np.empty(0, np.intp), *request.spans])).astype(np.int32)
        if len(positions) and (positions[0] < 1 or positions[-1] >= length):
            raise ScorerError(
                f"Positions {positions[0]} to {positions[-1]} are not all in 1 to {length - 1}."
            )
        return positions

    def _stops(self, start: int, length: int) -> list[int]:
        """`start`, then where the chunks of [start, length) end, which are of equal size."""
        assert self._engine is not None
        chunks = max(1, round((length - start) / (_CHUNK * self._engine.threads)))
        return [start, *(start + (length - start) * (i + 1) // chunks for i in range(chunks))]

    def _begin(self, request: ScoreRequest, positions: TokenIds) -> tuple[KeyValues, int]:
        """The cache to compute in and the first position to compute. In the worker thread, like all below."""
        try:
            if self._engine is None:
                self._engine = Llama(self._folder)
            start = common_prefix(request.ids[: request.shared], self._kept_ids) if self._reuse else 0
            if len(positions):  # the token before the first scored one must run to predict it
                start = min(start, int(positions[0]) - 1)
            if request.keep and self._reuse:
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
            raise ScorerError(str(error)) from error

    def _advance(
        self,
        request: ScoreRequest,
        cache: KeyValues,
        start: int,
        stop: int,
        positions: TokenIds,
        logprobs: LogProbs,
    ) -> None:
        """Compute the positions [start, stop) and fill in the log-probabilities that they give."""
        assert self._engine is not None
        try:
            hidden = self._engine.forward(request.ids[start:stop], start, cache)
            self.tokens_computed += stop - start
            if cache is self._kept:
                self._kept_ids = request.ids[:stop].copy()
            scored = positions[(positions > start) & (positions <= stop)]
            if len(scored):
                logprobs[scored] = self._engine.logprobs(hidden[scored - 1 - start], request.ids[scored])
        except MemoryError as error:
            raise ScorerError(self._out_of_memory(request)) from error
        if not np.isfinite(logprobs[scored]).all():
            raise ScorerError(
                f"{self.model} gave log-probabilities that are not finite; its weights may be bad."
            )

    def _with_room(self, cache: KeyValues | None, length: int, valid: int) -> KeyValues:
        """The cache itself or, if `length` positions do not fit, a larger one with its first `valid`."""
        if cache is not None and cache.capacity >= length:
            return cache
        larger = KeyValues(self._folder.config, -(-length // _CAPACITY_STEP) * _CAPACITY_STEP)
        if cache is not None:
            larger.copy(cache, 0, valid)
        return larger

    def _out_of_memory(self, request: ScoreRequest) -> str:
        return (
            f"There is not enough memory to run {self.model} on {len(request.ids)} tokens; close other"
            " programs or use a smaller model."
        )
