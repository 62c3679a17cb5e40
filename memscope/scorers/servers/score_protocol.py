"""The `/score` protocol: the server sums each response's log-probabilities itself, and gives but the totals.

Its second form takes token ids and ranges of positions, its first the messages, of which it scores every
assistant's.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

import msgspec
import numpy as np

from memscope.scorers.base import Encoded, LogProbs, ScoreRequest
from memscope.scorers.servers.client import ServerClient, ServerError, decode
from memscope.scorers.servers.scorer import RAW, Answer, Served, ServerScorer, served_model


class _Score(msgspec.Struct):
    total_logprob: float


class _Scores(msgspec.Struct):
    scores: list[_Score] | None = None
    error: Any = None


class ScoreProtocolScorer(ServerScorer):
    """Scores on a server of the protocol's second form: prompt ids and score ranges."""

    name: ClassVar[str] = "score"
    per_token: ClassVar[bool] = False

    async def ask(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        """A call for each prompt. Raises ServerError."""
        return [Answer(await self._totals(request)) for request in requests]

    async def identify(self) -> Served:
        """The served model, if the server lists what it serves; else what was asked for."""
        return await listed_or(self.client, self.model)

    async def _totals(self, request: ScoreRequest) -> list[LogProbs]:
        """Each span's total; a span with gaps is several ranges, whose totals add up."""
        runs = [_ranges(span.tolist()) for span in request.spans]
        ranges = [each for of_span in runs for each in of_span]
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": request.ids.tolist(),
            "score_ranges": ranges,
            "logprobs": 1,
        }
        if self.priority is not None:
            body["priority"] = self.priority
        totals = iter(await self._scores(body, len(ranges)))
        return [np.array([sum(next(totals) for _ in of_span)], np.float32) for of_span in runs]

    async def _scores(self, body: dict[str, Any], count: int) -> list[float]:
        """The totals that the server gives, `count` of them."""
        found = decode(await self.client.post("/score", body), _Scores, self.client.label)
        if found.error is not None:
            said = found.error if isinstance(found.error, str) else msgspec.json.encode(found.error).decode()
            raise self._not_this(f"answered with an error: {self.client.safe(said)}")
        if found.scores is None or len(found.scores) != count:
            raise self._not_this(f"gave {len(found.scores or ())} scores where {count} were asked for")
        totals = [score.total_logprob for score in found.scores]
        if not np.isfinite(totals).all():
            raise self._not_this("gave a total that is not a finite number")
        if any(total > RAW for total in totals):
            reason = "gave a total above 0: it must give sums of log-probabilities"
            raise ServerError(f"{self.client.label} {reason}", final=True)
        return totals


class MessagesScorer(ScoreProtocolScorer):
    """Scores on a server of the protocol's first form: messages in, a total for every assistant's.

    Its "tokens" are the words of the messages: the server alone knows its template and tokenizer.
    """

    async def _totals(self, request: ScoreRequest) -> list[LogProbs]:
        assert isinstance(self.tokenizer, MessagesTokenizer)
        messages, starts = self.tokenizer.messages(request)
        assistants = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
        body = {"model": self.model, "messages": messages, "logprobs": 1}
        totals = await self._scores(body, len(assistants))
        of_message = dict(zip(assistants, totals, strict=True))
        spans = [int(np.searchsorted(starts, span[0], side="right")) - 1 for span in request.spans]
        if not of_message.keys() >= set(spans):
            raise ServerError("a response is not an assistant's message by itself", final=True)
        return [np.array([of_message[at]], np.float32) for at in spans]


class MessagesTokenizer:
    """A chat template that only says where messages begin, so that a prompt can be taken apart into them
    again; a token is a word with the white space after it."""

    takes_tool_calls = False

    def __init__(self) -> None:
        # no transcript can hold what is drawn anew for every scorer
        self._mark = f"\x02{secrets.token_hex(8)}:"
        self._words = re.compile(rf"{self._mark}\w+\n|\s*(?:(?!{self._mark})\S)+\s?|\s+")

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        """Every message as its mark, role, line break and content."""
        return "".join(f"{self._mark}{message['role']}\n{message['content']}" for message in messages)

    def encode(self, text: str) -> Encoded:
        """Words, numbered by a hash of what they are, the mark apart."""
        words = self._words.findall(text)
        ids = [_number(word.replace(self._mark, "\x02")) for word in words]
        return Encoded(ids, np.cumsum([len(word) for word in words]).tolist())

    def messages(self, request: ScoreRequest) -> tuple[list[dict[str, str]], list[int]]:
        """The messages of a prompt, and the position of the token with which each begins."""
        text = "".join(request.texts)
        _, *parts = text.split(self._mark)
        ends = np.cumsum([len(piece) for piece in request.texts])
        starts, at = [], text.find(self._mark)
        messages = []
        for part in parts:
            role, _, content = part.partition("\n")
            messages.append({"role": role, "content": content})
            starts.append(int(np.searchsorted(ends, at, side="right")))
            at += len(self._mark) + len(part)
        return messages, starts


async def listed_or(client: ServerClient, model: str | None) -> Served:
    """What the server lists under the model's name, or the only one; the name itself if it has no list."""
    try:
        return await served_model(client, model)
    except ServerError as error:
        if error.status == 404:
            return Served(model or "default", ())
        raise


def _number(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:4], "little") >> 1


def _ranges(positions: Sequence[int]) -> list[list[int]]:
    """The half-open ranges that rising positions make up."""
    runs = [
        [position for _, position in run]
        for _, run in groupby(enumerate(positions), lambda each: each[1] - each[0])
    ]
    return [[run[0], run[-1] + 1] for run in runs]
