"""How ContextCite and Captum are asked about one response of a conversation, through their own interfaces.

Both get the text that memscope scores, with the memories as their sources, and the model as they would load
it; neither's algorithm is touched. What is worked around: context-cite fetches a sentence splitter when it is
imported, which sources of one's own do not need, and lets the model write the response unless one is in its
cache beforehand. Captum goes through a response token by token by default; captum 0.9.0 with transformers
5.24 then puts the whole prompt through the model for each token, behind the keys and values of the same
prompt, and its numbers are wrong. With one forward a prompt, or without the cache, they are memscope's.
"""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import datasets
import nltk
import numpy as np
import torch
from numpy.typing import NDArray

from memscope.prompt import Prompt

nltk.download = lambda *_, **__: True
warnings.filterwarnings("ignore", message=".*torch.cuda.amp.*", category=FutureWarning)
warnings.filterwarnings("ignore", message=".*CUDA is not available.*")
datasets.disable_progress_bars()

import context_cite.utils  # noqa: E402
from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput  # noqa: E402
from context_cite import ContextCiter  # noqa: E402
from context_cite.context_partitioner import BaseContextPartitioner  # noqa: E402
from context_cite.solver import LassoRegression  # noqa: E402
from context_cite.utils import (  # noqa: E402
    _create_mask,
    aggregate_logit_probs,
    get_masks_and_logit_probs,
)

context_cite.utils.tqdm = lambda batches: batches

__all__ = ["LassoRegression", "aggregate_logit_probs", "get_masks_and_logit_probs"]

KEEP_PROBABILITY = 0.5
"""ContextCite's own default."""


@dataclass(frozen=True)
class Question:
    """One response of a prompt: the text before it in `parts`, each with the memory that owns it (-1 for
    none), the memories in it in their order, and the response's text."""

    parts: tuple[tuple[int, str], ...]
    memories: tuple[int, ...]
    response: str

    def context(self, kept: Sequence[bool] | NDArray[np.bool_] | None = None) -> str:
        """The text before the response, with only those memories that are `kept`, or all."""
        left = (
            set(self.memories) if kept is None else {m for m, k in zip(self.memories, kept, strict=True) if k}
        )
        return "".join(text for memory, text in self.parts if memory < 0 or memory in left)


def question(prompt: Prompt, response: int) -> Question:
    """What there is to ask about a prompt's response (its index)."""
    positions = prompt.responses[response]
    before = prompt.memory[: positions[0]]
    edges = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), len(before)]
    parts = tuple(
        (int(before[start]), prompt.text[_begin(prompt, start) : _begin(prompt, stop)])
        for start, stop in pairwise(edges)
    )
    memories = tuple(dict.fromkeys(memory for memory, _ in parts if memory >= 0))
    return Question(parts, memories, prompt.text[_begin(prompt, positions[0]) : prompt.ends[positions[-1]]])


def _begin(prompt: Prompt, token: int) -> int:
    """The offset in a prompt's text where a token begins."""
    return int(prompt.ends[token - 1]) if token else 0


@contextmanager
def counted(model: torch.nn.Module) -> Iterator[list[int]]:
    """Collects the tokens of each forward of the model; at its embeddings, because Captum calls `forward`
    itself, past the model's own hooks."""
    tokens: list[int] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(
        lambda _, given: tokens.append(given[0].numel())
    )
    try:
        yield tokens
    finally:
        hook.remove()


class _Memories(BaseContextPartitioner):
    """ContextCite's sources: the memories before a response."""

    def __init__(self, asked: Question) -> None:
        super().__init__(asked.context())
        self._asked = asked

    @property
    def num_sources(self) -> int:
        return len(self._asked.memories)

    def split_context(self) -> None:
        """They are split already."""

    def get_source(self, index: int) -> str:
        return "".join(text for memory, text in self._asked.parts if memory == self._asked.memories[index])

    def get_context(self, mask: NDArray[np.bool_] | None = None) -> str:
        return self._asked.context(mask)


def context_citer(model: Any, tokenizer: Any, asked: Question, masks: int) -> ContextCiter:
    """ContextCite on one response, with all its defaults but the number of masks."""
    as_is = copy.deepcopy(tokenizer)
    as_is.chat_template = "{{ messages[0]['content'] }}"  # the text is a rendered chat already
    sources = _Memories(asked)
    citer = ContextCiter(
        model,
        as_is,
        sources.context,
        query="",
        num_ablations=masks,
        prompt_template="{context}",
        partitioner=sources,
    )
    citer._cache["output"] = sources.context + asked.response
    return citer


def masks_of(sources: int, count: int) -> NDArray[np.bool_]:
    """The first masks [count, sources] that ContextCite draws; they depend on nothing else."""
    masks = [_create_mask(sources, KEEP_PROBABILITY, seed) for seed in range(count)]
    return np.array(masks, np.bool_).reshape(count, sources)


def tokens_of(tokenizer: Any, asked: Question, kept: NDArray[np.bool_]) -> list[int]:
    """For each row of `kept` [n, memories] the tokens of the prompt with only those memories."""
    response = len(tokenizer(asked.response, add_special_tokens=False)["input_ids"])
    texts = [asked.context(row) for row in kept]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [len(ids) + response for ids in encoded]


def ablate_with_captum(model: Any, tokenizer: Any, asked: Question, *, by_token: bool) -> NDArray[Any]:
    """Captum's feature ablation of one response: the drop of its log-probability for each memory.

    `by_token` is Captum's default: the response goes through the model token by token; else the whole prompt
    in one forward.
    """
    values = {
        memory: "".join(text for owner, text in asked.parts if owner == memory) for memory in asked.memories
    }

    def template(*given: str) -> str:
        now = dict(zip(asked.memories, given, strict=True))
        firsts: set[int] = set()
        texts = []
        for memory, text in asked.parts:
            if memory < 0:
                texts.append(text)
            elif memory not in firsts:
                firsts.add(memory)
                texts.append(now[memory])
        return "".join(texts)

    ablation = LLMAttribution(FeatureAblation(model), tokenizer)
    result = ablation.attribute(
        TextTemplateInput(template, list(values.values())),
        target=torch.tensor(tokenizer(asked.response, add_special_tokens=False)["input_ids"]),
        forward_in_tokens=by_token,
    )
    return result.seq_attr.numpy()
