"""OpenAI-style completions that echo the prompt with its log-probabilities.

Some servers take the prompt's token ids, others its text alone. Text is tokenized anew by the server: its
tokens are laid beside those sent, by number where they are the same ones, else by where they end.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from memscope.scorers.base import ScoreRequest
from memscope.scorers.servers.client import ServerClient, ServerError, decode
from memscope.scorers.servers.scorer import Answer, Guess, ServerScorer, checked

_SPECIAL = re.compile(r"<.+>|\[.+\]")
"""How special tokens are written."""


class _LogProbs(msgspec.Struct):
    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    text_offset: list[int] = []


class _Choice(msgspec.Struct):
    logprobs: _LogProbs | None = None
    text: str = ""


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


class EchoScorer(ServerScorer):
    """Scores on a server whose completions echo the prompt; `takes_ids` or its text alone."""

    name: ClassVar[str] = "echo"
    takes_ids = True
    dropped: frozenset[int] = frozenset()
    """Tokens that the server leaves out of its lists, wherever they stand in the prompt."""
    skips_first = False
    """Whether the server puts the first token in front of a text by itself."""

    async def ask(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        """A request for each prompt: few such servers take several. Raises ServerError."""
        answers = await asyncio.gather(*(self._answer(request) for request in requests))
        return [
            Answer([checked([row[at] for at in span.tolist()], self.client.label) for span in request.spans])
            for row, request in zip(answers, requests, strict=True)
        ]

    async def generate(self, request: ScoreRequest) -> Guess | None:
        """The protocol gives the next token's text; None where that is not one token of the tokenizer's."""
        answer = await self.client.post("/v1/completions", {**self._body(request), "echo": False})
        found = self._completion(answer).choices[0].logprobs
        if found is None or not found.tokens or not found.token_logprobs:
            return None
        logprob, text = found.token_logprobs[0], found.tokens[0]
        ids = self.tokenizer.encode(text).ids
        return None if logprob is None or len(ids) != 1 else Guess(ids[0], text, logprob)

    async def find_form(self, probe: ScoreRequest) -> None:
        """Find out how this server takes a prompt and what it echoes of it. Raises ServerError if it does not
        echo log-probabilities at all."""
        refusal: ServerError | None = None
        special = _SPECIAL.fullmatch(probe.texts[0]) is not None  # no other token would come by itself
        for takes_ids in (True, False):
            for dropped in (frozenset[int](), frozenset({int(probe.ids[0])})):
                for skips_first in (False, True) if special and not takes_ids else (False,):
                    self.takes_ids, self.dropped, self.skips_first = takes_ids, dropped, skips_first
                    try:
                        row = await self._answer(probe)
                    except ServerError as error:
                        if error.status in (401, 403):
                            raise
                        refusal = error
                        continue
                    if all(row[at] is not None for at in probe.spans[0].tolist()):
                        return
        raise refusal or self._not_this("gave no log-probabilities of the prompt")

    async def _answer(self, request: ScoreRequest) -> list[float | None]:
        """For each token sent its log-probability, None where the server gave none."""
        answer = await self.client.post("/v1/completions", self._body(request))
        return await asyncio.to_thread(self._read, answer, request)

    def _body(self, request: ScoreRequest) -> dict[str, Any]:
        return {
            "model": self.model,
            "prompt": request.ids.tolist() if self.takes_ids else "".join(request.texts[self.skips_first :]),
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }

    def _completion(self, answer: bytes) -> _Completion:
        completion = decode(answer, _Completion, self.client.label)
        if completion.model not in (None, self.model):
            name = self.client.safe(completion.model)
            raise ServerError(f"{self.client.label} answered with the model {name}", final=True)
        if len(completion.choices) != 1:
            raise self._not_this(f"gave {len(completion.choices)} answers to one prompt")
        return completion

    def _read(self, answer: bytes, request: ScoreRequest) -> list[float | None]:
        completion = self._completion(answer)
        found = completion.choices[0].logprobs
        if found is None or len(found.token_logprobs) != len(found.tokens):
            raise ServerError(f"{self.client.label} gave no log-probabilities of the prompt", final=True)
        kept = [at for at, token in enumerate(request.ids.tolist()) if token not in self.dropped]
        beyond = len(found.tokens) - len(kept)
        same = 0 <= beyond <= 1 and all(
            _alike(request.texts[at], token) for at, token in zip(kept, found.tokens, strict=False)
        )
        row: list[float | None] = [None] * len(request.ids)
        if same:
            usage = completion.usage or _Usage()
            if usage.prompt_tokens not in (None, len(row)):
                raise self._not_this("counts more tokens than those sent")
            if usage.completion_tokens and not beyond and found.tokens[-1] != request.texts[kept[-1]]:
                raise self._not_this("left out a token of the prompt")  # the last one is the generated one
            for at, logprob in zip(kept, found.token_logprobs, strict=False):
                row[at] = logprob
            return row
        if self.takes_ids:
            raise self._not_this("did not echo the whole prompt")
        return self._by_offset(found, request)

    def _by_offset(self, found: _LogProbs, request: ScoreRequest) -> list[float | None]:
        """The server cut the text otherwise: each of its log-probabilities goes to the token sent in which
        its own token ends, 0 to those in which none does, so that the sum over a response is right."""
        text = "".join(request.texts)
        starts = [at for at in found.text_offset if at < len(text)]
        count = len(starts)
        if not count or "".join(found.tokens[:count]) != text or sorted(set(starts)) != starts:
            raise ServerError(
                f"{self.client.label} cuts the prompt into other tokens than the tokenizer given here; give"
                " the model's own with --tokenizer",
                final=True,
            )
        ends = np.cumsum([len(piece) for piece in request.texts])
        owner = np.searchsorted(ends, np.array([*starts[1:], len(text)]) - 1, side="right")
        row: list[float | None] = [0.0] * len(ends)
        for at, logprob in zip(owner.tolist(), found.token_logprobs, strict=False):
            known = row[at]
            row[at] = None if logprob is None or known is None else known + logprob
        return row


async def echoes(client: ServerClient, model: str) -> None:
    """Raises ServerError if the server does not echo a plain text with log-probabilities."""
    text = "The capital of Norway is Oslo."
    body = {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
    completion = decode(await client.post("/v1/completions", body), _Completion, client.label)
    found = completion.choices[0].logprobs if completion.choices else None
    if found is None or "Oslo" not in "".join(found.tokens) or not any(found.token_logprobs):
        raise ServerError(f"{client.label} gave no log-probabilities of the prompt", final=True)


def _alike(sent: str, echoed: str) -> bool:
    """Whether a token's text can be that of the token sent: special tokens come back empty or as themselves,
    parts of a character as replacement characters."""
    return not echoed or sent == echoed or "\ufffd" in echoed or not sent or echoed.startswith("bytes:")
