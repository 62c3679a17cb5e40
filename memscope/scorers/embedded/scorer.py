"""The embedded scorer: exact log-probabilities from the numpy engine, going on from prompts that are kept."""

from collections.abc import Callable, Sequence

from memscope.scorers.base import ChatTokenizer, LogProbs
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama, default_threads
from memscope.scorers.kept import Stretch, asked_ids, asked_rows, by_stretch
from memscope.scorers.local import LocalScorer
from memscope.scorers.tokenizer import FolderTokenizer

_CHUNK = 256
"""Tokens for each thread between two chances to stop: about a second."""


class EmbeddedScorer(LocalScorer[KeyValues]):
    """Scores prompts on a folder with a Llama model."""

    name = "embedded"
    exact = True

    def __init__(
        self,
        folder: ModelFolder,
        tokenizer: ChatTokenizer | None = None,
        *,
        reuse: bool = True,
        kv_budget: int | None = None,
    ) -> None:
        """Read the tokenizer and the fingerprint; the weights are read by the first request.

        `reuse=False` computes every prompt from its first token, for comparison. `kv_budget` bytes are for
        the keys and values that stay; None stands for a quarter of the free memory. Raises ModelError.
        """
        super().__init__(
            folder.name,
            folder.config.vocabulary,
            folder.config.context_length,
            reuse=reuse,
            kv_budget=kv_budget,
        )
        self.fingerprint = folder.fingerprint
        self.tokenizer: ChatTokenizer = tokenizer or FolderTokenizer(folder.path)
        self._folder = folder
        self._engine: Llama | None = None

    @property
    def batch_tokens(self) -> int:
        """As many as a chunk."""
        return _CHUNK * default_threads()

    def _open(self) -> None:
        if self._engine is None:
            self._engine = Llama(self._folder)

    def _chunk(self) -> int:
        assert self._engine is not None
        return _CHUNK * self._engine.threads

    def _new_cache(self, first: int, capacity: int) -> KeyValues:
        return KeyValues(self._folder.config, first, capacity)

    def _compute(
        self, stretches: Sequence[Stretch[KeyValues]], left: Callable[[], bool]
    ) -> Sequence[LogProbs]:
        assert self._engine is not None
        hidden = self._engine.forward(stretches)
        logprobs = self._engine.logprobs(hidden[asked_rows(stretches)], asked_ids(stretches))
        return by_stretch(logprobs, stretches)
