"""What all scorers on servers have in common; each kind of server is a subclass that speaks its protocol."""

import abc
import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import httpx
import msgspec
import numpy as np

from memscope.errors import ScorerError
from memscope.scorers.base import ChatTokenizer, LogProbs, ScoreRequest, SpanScore
from memscope.scorers.probe import SCORED, beginning, followed_by
from memscope.scorers.servers.batches import Batches
from memscope.scorers.servers.client import ServerClient, ServerError, decode

RAW = 1e-3
"""A log-probability this far above 0 is none: the server gives something else, such as logits."""


class Card(msgspec.Struct, frozen=True):
    """A model in the list at `/v1/models`, as far as servers tell."""

    id: str
    owned_by: str = ""
    root: str | None = None
    max_model_len: int | None = None
    context_length: int | None = None


class Cards(msgspec.Struct, frozen=True):
    """The list at `/v1/models`."""

    data: list[Card]


@dataclass(frozen=True)
class Served:
    """A model that a server serves, and everything by which another one in its place would be noticed."""

    model: str
    identity: tuple[str, ...]
    context_length: int | None = None
    root: str | None = None
    """The folder or hub name that it was loaded from."""


@dataclass
class Sent:
    """What has gone to a server so far: HTTP requests that computed, and the tokens of their prompts."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Answer:
    """For each span of a request its log-probabilities; `cached` tokens of the prompt were not computed."""

    spans: list[LogProbs]
    cached: int = 0


@dataclass(frozen=True)
class Guess:
    """The token that a model finds most probable after a prompt: id, text if known, log-probability."""

    token: int
    text: str
    logprob: float


@dataclass
class ServerScorer(abc.ABC):
    """Scores prompts on a server, several at once.

    Each answer counts only once the server has been found to serve the same model still.
    """

    client: ServerClient
    served: Served
    tokenizer: ChatTokenizer
    context_length: int
    concurrency: int = 1
    priority: int | None = None
    """Sent along where the server schedules by it, so that its other work goes first."""
    notes: list[str] = field(default_factory=list)
    signature: LogProbs | None = None
    tokens_computed: int = 0
    sent: Sent = field(default_factory=Sent)

    name: ClassVar[str]
    per_token: ClassVar[bool] = True
    reuses_prefix: ClassVar[bool] = False
    batch_tokens: ClassVar[int] = 0
    together: ClassVar[int] = 1
    """Prompts in one HTTP request."""
    exact: ClassVar[bool] = False
    noise_floor: ClassVar[float] = float("nan")

    def __post_init__(self) -> None:
        self.take(self.concurrency)

    def take(self, concurrency: int, *, together: int | None = None) -> None:
        """Take so many prompts at once from now on, `together` in a request.

        To be said while none is under way. By default several share a request only where that leaves two
        requests or more, so that one slow prompt never holds all others.
        """
        self.concurrency = concurrency
        together = together or (self.together if concurrency >= 2 * self.together else 1)
        calls = -(-concurrency // together)  # rounded up: whoever asks keeps to `concurrency` prompts
        self._batches: Batches[ScoreRequest, Answer] = Batches(self._send, calls, together)

    @property
    def model(self) -> str:
        """The name under which the model is served."""
        return self.served.model

    @property
    def fingerprint(self) -> str:
        """Of the protocol, the server and the model that it says it serves."""
        parts = [self.name, self.client.base, self.model, *self.served.identity]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore, None]:
        """Score the request's spans. Raises ScorerError; cancelling ends the HTTP request too."""
        if not request.spans:
            return  # a prefix to be kept; servers that reuse prefixes keep them by themselves
        if len(request.ids) > self.context_length:
            raise ScorerError(
                f"the prompt has {len(request.ids)} tokens; {self.model} takes {self.context_length}",
                final=True,
            )
        answer = await self._batches.ask(request)
        for span, logprobs in enumerate(answer.spans):
            yield SpanScore(span, logprobs)

    def tokens_kept(self, request: ScoreRequest) -> int:
        """None that are known of."""
        return 0

    async def forget(self) -> None:  # noqa: B027 - for every server the same
        """Nothing is kept here."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def _send(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        self.sent.requests += 1
        self.sent.tokens += sum(len(request.ids) for request in requests)
        answers = await self.ask(requests)
        if (now := await self.identify()).identity != self.served.identity:
            raise ServerError(
                f"{self.client.label} serves another model than before ({self.client.safe(now.model)}); open"
                " the conversation again",
                final=True,
            )
        computed = zip(requests, answers, strict=True)
        self.tokens_computed += sum(len(request.ids) - answer.cached for request, answer in computed)
        return answers

    @abc.abstractmethod
    async def ask(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        """Have the server score prompts, at most `together`. Raises ScorerError if it does not do that."""

    async def identify(self) -> Served:
        """What the server says it serves now. Raises ServerError."""
        return await served_model(self.client, self.model)

    async def generate(self, request: ScoreRequest) -> Guess | None:
        """The most probable token after a prompt, to check log-probabilities of prompts against; None where
        the protocol has no such thing. Raises ServerError."""
        return None

    async def guessed(self, prompt: ScoreRequest) -> tuple[ScoreRequest, float] | None:
        """A beginning of the prompt with the token after it that the model finds most probable, and that
        token's log-probability as it is generated. Raises ServerError."""
        for length in range(len(prompt.ids), max(1, len(prompt.ids) - SCORED), -1):
            before = beginning(prompt, length)
            guess = await self.generate(before)
            if guess is not None:
                return followed_by(before, guess.token, guess.text), guess.logprob
        return None

    async def version(self) -> str:
        """The version of the server's program, empty if it does not tell. Raises ServerError."""
        return ""

    def _not_this(self, what: str) -> ServerError:
        return misanswered(self.client.label, what)


async def served_model(client: ServerClient, model: str | None) -> Served:
    """The model of that name, or the only one that is served, by the list at `/v1/models`.

    Raises ServerError if there is no such list or not this model in it.
    """
    cards = decode(await client.get("/v1/models"), Cards, client.label).data
    chosen = [card for card in cards if model in (None, card.id)]
    if not chosen or (model is None and len({card.root or card.id for card in chosen}) > 1):
        names = ", ".join(client.safe(card.id) for card in cards[:8]) or "no model"
        what = f"does not serve {model}" if model else "serves several models" if cards else "serves nothing"
        raise ServerError(f"{client.label} {what}: choose with --model ({names})", final=True)
    card = chosen[0]
    length = card.max_model_len or card.context_length
    identity = (card.id, card.root or "", card.owned_by, str(length or ""))
    return Served(card.id, identity, length, card.root)


def misanswered(server: str, what: str) -> ServerError:
    """A server gave an answer that can't be right; another time it may."""
    return ServerError(f"{server} {what}", status=httpx.codes.OK)


def checked(logprobs: Sequence[float | None], server: str) -> LogProbs:
    """Log-probabilities as they came, in nats. Raises ServerError if one is none."""
    if any(value is None for value in logprobs):
        raise misanswered(server, "left out log-probabilities of the prompt")
    values = np.array(logprobs, np.float32)
    if not np.isfinite(values).all() or (values <= -9999.0).any():
        raise misanswered(server, "gave a token a probability of nothing")
    if (values > RAW).any():
        raise ServerError(
            f"{server} gave log-probabilities above 0: it must be set to give log-probabilities, not logits",
            final=True,
        )
    return values
