"""The embedded scorer: exact log-probabilities from the numpy engine, with reuse of the baseline's prefix."""

import threading

from memscope.scorers.base import ChatTokenizer, LogProbs, TokenIds
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama
from memscope.scorers.local import LocalScorer
from memscope.scorers.tokenizer import FolderTokenizer

_CHUNK = 256
"""Tokens for each thread between two chances to stop: about a second."""


class EmbeddedScorer(LocalScorer[KeyValues]):
    """Scores prompts on a folder with a Llama model."""

    name = "embedded"
    exact = True

    def __init__(
        self, folder: ModelFolder, tokenizer: ChatTokenizer | None = None, *, reuse: bool = True
    ) -> None:
        """Read the tokenizer and the fingerprint; the weights are read by the first request.

        `reuse=False` computes every prompt from its first token, for comparison. Raises ModelError.
        """
        super().__init__(folder.name, folder.config.vocabulary, folder.config.context_length, reuse=reuse)
        self.fingerprint = folder.fingerprint
        self.tokenizer: ChatTokenizer = tokenizer or FolderTokenizer(folder.path)
        self._folder = folder
        self._engine: Llama | None = None

    def _open(self) -> None:
        if self._engine is None:
            self._engine = Llama(self._folder)

    def _chunk(self) -> int:
        assert self._engine is not None
        return _CHUNK * self._engine.threads

    def _new_cache(self, capacity: int) -> KeyValues:
        return KeyValues(self._folder.config, capacity)

    def _compute(
        self,
        ids: TokenIds,
        start: int,
        stop: int,
        cache: KeyValues,
        scored: TokenIds,
        left: threading.Event,
    ) -> LogProbs:
        assert self._engine is not None
        hidden = self._engine.forward(ids[start:stop], start, cache)
        return self._engine.logprobs(hidden[scored - 1 - start], ids[scored])
