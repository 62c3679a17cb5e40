"""What every test server's numbers come from: the embedded engine's log-probabilities of any token ids."""

import json
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from memscope.scorers.base import LogProbs, TokenIds, common_prefix
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import Floats, KeyValues, Llama
from memscope.scorers.kept import Stretch
from memscope.scorers.tokenizer import FolderTokenizer

_CHUNK = 256
"""Tokens a thread and forward pass."""
_KEPT = 2
"""Prompts whose keys and values stay for later ones that share a prefix."""


@dataclass(eq=False)
class _Prompt:
    """A computed prompt: the hidden states [T, hidden], the log-probabilities [T], the keys and values."""

    ids: TokenIds
    hidden: Floats
    logprobs: LogProbs
    cache: KeyValues


class Oracle:
    """Real log-probabilities of a model folder's model, to be asked from any thread.

    A prompt costs only the tokens after the longest prefix it shares with one of the last prompts, and
    nothing where the same one was asked before.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """The weights are read by the first prompt. Raises ModelError."""
        self.folder = ModelFolder(folder)
        self.tokenizer = FolderTokenizer(folder)
        self.words: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.end = self._end(folder)
        self.tokens_computed = 0
        self._threads = threads
        self._lock = threading.Lock()
        self._kept: list[_Prompt] = []  # least recently used first
        self._known: dict[bytes, LogProbs] = {}
        self._next: dict[bytes, tuple[int, float]] = {}

    def _end(self, folder: Path) -> int | None:
        """The token that ends a response, if the tokenizer's configuration names one."""
        path = folder / "tokenizer_config.json"
        named = json.loads(path.read_bytes()).get("eos_token") if path.is_file() else None
        text = named["content"] if isinstance(named, dict) else named
        return None if text is None else self.words.token_to_id(text)

    @property
    def vocabulary(self) -> int:
        return self.folder.config.vocabulary

    @property
    def context_length(self) -> int:
        return self.folder.config.context_length

    def logprobs(self, ids: list[int] | TokenIds) -> LogProbs:
        """Log-probabilities [T], in nats, of each token after those before it; NaN for the first."""
        row = np.asarray(ids, np.int32)
        key = row.tobytes()
        with self._lock:
            if key not in self._known:
                self._known[key] = self._prompt(row).logprobs.copy()
            return self._known[key].copy()

    def next_token(self, ids: list[int] | TokenIds) -> tuple[int, float]:
        """The likeliest token after the prompt, and its log-probability."""
        row = np.asarray(ids, np.int32)
        key = row.tobytes()
        with self._lock:
            if key not in self._next:
                prompt = self._prompt(row)
                self._known.setdefault(key, prompt.logprobs.copy())
                distribution = self._distribution(prompt.hidden[-1])
                token = int(distribution.argmax())
                self._next[key] = token, float(distribution[token])
            return self._next[key]

    def repeated(self, ids: list[int] | TokenIds) -> LogProbs:
        """Log-probabilities [T] of each token coming once more right after itself."""
        row = np.asarray(ids, np.int32)
        with self._lock:
            return self._engine.logprobs(self._prompt(row).hidden, row)

    @cached_property
    def _engine(self) -> Llama:
        return Llama(self.folder, self._threads)

    @cached_property
    def _output(self) -> tuple[Floats, Floats]:
        """The last norm's weights and the output matrix."""
        matrix = "model.embed_tokens.weight" if self.folder.config.tied else "lm_head.weight"
        return np.array(self.folder.read("model.norm.weight")), self.folder.read(matrix)

    def _distribution(self, hidden: Floats) -> LogProbs:
        norm, matrix = self._output
        scale = np.sqrt(np.square(hidden).mean() + self.folder.config.epsilon)
        logits: NDArray[np.float32] = matrix @ (hidden / scale * norm).astype(np.float32)
        top = logits.max()
        rows: NDArray[np.float32] = logits - top - np.log(np.exp(logits - top).sum())
        return rows

    def _prompt(self, ids: TokenIds) -> _Prompt:
        """Compute a prompt, from the longest prefix that a kept one shares with it."""
        best = max(self._kept, key=lambda kept: (common_prefix(ids, kept.ids), len(kept.ids)), default=None)
        shared = 0 if best is None else common_prefix(ids, best.ids)
        if best is not None and shared:
            self._kept.remove(best)
            self._kept.append(best)
            if shared == len(ids):
                return _Prompt(ids, best.hidden[:shared], best.logprobs[:shared], best.cache)
        prompt = _Prompt(
            ids,
            np.empty((len(ids), self.folder.config.hidden), np.float32),
            np.full(len(ids), np.nan, np.float32),
            KeyValues(self.folder.config, 0, len(ids)),
        )
        if best is not None and shared:
            prompt.hidden[:shared] = best.hidden[:shared]
            prompt.logprobs[:shared] = best.logprobs[:shared]
            prompt.cache.copy(best.cache, 0, shared)
        for start in range(shared, len(ids), _CHUNK * self._engine.threads):
            stop = min(start + _CHUNK * self._engine.threads, len(ids))
            prompt.hidden[start:stop] = self._engine.forward([Stretch(ids, start, stop, prompt.cache)])
            first = max(start, 1)
            targets = ids[first:stop]
            prompt.logprobs[first:stop] = self._engine.logprobs(prompt.hidden[first - 1 : stop - 1], targets)
        self.tokens_computed += len(ids) - shared
        self._kept = [*self._kept[-(_KEPT - 1) :], prompt]
        return prompt
