"""What every scorer offers: a tokenizer with its chat template, and log-probabilities of given tokens."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]
LogProbs = NDArray[np.float32]


def common_prefix(ours: TokenIds, theirs: TokenIds) -> int:
    """The length of the beginning that two rows of token ids share."""
    length = min(len(ours), len(theirs))
    unequal = np.flatnonzero(ours[:length] != theirs[:length])
    return int(unequal[0]) if unequal.size else length


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a text and, for each token, the offset of the character after its last one.

    Offsets never fall; of several tokens that share a character, each ends after that character.
    """

    ids: list[int]
    ends: list[int]


class ChatTokenizer(Protocol):
    """The tokenizer of the scoring model and its chat template."""

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        """Render chat messages to the text of a prompt.

        Raises TemplateRefusedError if the template does not take these messages.
        """

    def encode(self, text: str) -> Encoded:
        """Tokenize `text`; special tokens written in it count as such, none are added."""

    @property
    def takes_tool_calls(self) -> bool:
        """Whether the chat template renders `tool_calls` itself."""


class TemplateRefusedError(Exception):
    """The chat template raised on these messages; the text is the template's own reason."""


@dataclass(frozen=True)
class ScoreRequest:
    """Token ids of a prompt [T] and, for each span to score, the positions of its tokens (each > 0).

    `keep` marks a prompt that later ones share a prefix with (the baseline); up to `shared` first tokens need
    not be computed again where they are those of a baseline that is kept. `branch` marks any other prompt
    that a later one may go on from: worth keeping where there is room. `texts` [T] says what each token adds
    to the prompt's text, for scorers that take no ids.
    """

    ids: TokenIds
    spans: tuple[NDArray[np.intp], ...]
    keep: bool = False
    shared: int = 0
    texts: tuple[str, ...] = ()
    branch: bool = False


@dataclass(frozen=True)
class SpanScore:
    """The log-probabilities of one whole span's tokens, in nats, and its index in the request; only their sum
    where the scorer is not `per_token`."""

    span: int
    logprobs: LogProbs


class Scorer(Protocol):
    """Gives log-probabilities of prompt tokens under one model."""

    @property
    def name(self) -> str:
        """The kind of scorer: `embedded`, `vllm`, ..."""

    @property
    def model(self) -> str:
        """The model's name, for people."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same token ids could score differently; part of every cache key."""

    @property
    def signature(self) -> LogProbs | None:
        """Log-probabilities of a fixed prompt, by which another model under the same name shows; None where
        the fingerprint covers the weights."""

    @property
    def exact(self) -> bool:
        """Whether equal requests give equal numbers and nothing is approximated."""

    @property
    def noise_floor(self) -> float:
        """If `exact`, the error of a span's sum in nats; else it is measured by scoring baselines again."""

    @property
    def per_token(self) -> bool:
        """Whether a span's tokens come back one by one, or only their sum."""

    @property
    def reuses_prefix(self) -> bool:
        """Whether a request costs only the tokens after the prefix shared with the prompt last kept."""

    @property
    def concurrency(self) -> int:
        """How many requests may be under way at once."""

    @property
    def batch_tokens(self) -> int:
        """Prompts with so few tokens to compute together are computed as one if asked for at the same time;
        0 where that gains nothing."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know about this scorer, a sentence each."""

    @property
    def context_length(self) -> int:
        """The longest prompt in tokens."""

    @property
    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer of the scoring model."""

    @property
    def tokens_computed(self) -> int:
        """Tokens that went through the model since this scorer was made; reused ones do not count."""

    def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore]:
        """Score the request's spans, each yielded once as soon as all its tokens are known.

        Raises ScorerError if the request failed. Closing the iterator or cancelling the task stops the work
        within one chunk.
        """

    def tokens_kept(self, request: ScoreRequest) -> int:
        """How many of a request's first tokens need not be computed because earlier prompts are kept here."""

    async def forget(self) -> None:
        """Let go of the prompts that are kept, so that what comes is computed anew."""

    async def aclose(self) -> None:
        """Let go of connections and threads; nothing is scored afterwards."""
