"""vLLM: token ids to `/v1/completions` with `prompt_logprobs`.

A request with `prompt_logprobs` never reads vLLM's prefix cache, so every prompt is computed whole. (Told to
read it, the server answers with uninitialised memory or ends: this is never asked for.)
"""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from memscope.scorers.base import ScoreRequest
from memscope.scorers.servers.client import ServerError, decode
from memscope.scorers.servers.scorer import Answer, Guess, ServerScorer, checked


class _LogProb(msgspec.Struct):
    logprob: float


class _Generated(msgspec.Struct):
    token_logprobs: list[float | None] = []


class _Choice(msgspec.Struct):
    index: int
    prompt_logprobs: list[dict[str, _LogProb] | None] | None = None
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    logprobs: _Generated | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None


class _Version(msgspec.Struct):
    version: str = ""


class VllmScorer(ServerScorer):
    """Scores on a vLLM server."""

    name: ClassVar[str] = "vllm"
    together: ClassVar[int] = 2

    async def ask(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        """One request for all prompts. Raises ServerError."""
        answer = await self.client.post(
            "/v1/completions", self._body([request.ids.tolist() for request in requests])
        )
        return await asyncio.to_thread(self._read, answer, requests)

    async def generate(self, request: ScoreRequest) -> Guess | None:
        """The most probable token after a prompt."""
        body = {**self._body([request.ids.tolist()]), "logprobs": 1}
        answer = await self.client.post("/v1/completions", body)
        (choice,) = self._choices(answer, 1)
        if not choice.token_ids or choice.logprobs is None or not choice.logprobs.token_logprobs:
            return None
        logprob = choice.logprobs.token_logprobs[0]
        return None if logprob is None else Guess(choice.token_ids[0], "", logprob)

    async def version(self) -> str:
        """As `/version` tells it."""
        return decode(await self.client.get("/version"), _Version, self.client.label).version

    def _body(self, prompts: list[list[int]]) -> dict[str, Any]:
        body = {
            "model": self.model,
            "prompt": prompts,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
        }
        return body if self.priority is None else {**body, "priority": self.priority}

    def _choices(self, answer: bytes, count: int) -> list[_Choice]:
        completion = decode(answer, _Completion, self.client.label)
        if completion.model not in (None, self.model):
            name = self.client.safe(completion.model)
            raise ServerError(f"{self.client.label} answered with the model {name}", final=True)
        choices = sorted(completion.choices, key=lambda choice: choice.index)
        if [choice.index for choice in choices] != list(range(count)):
            raise self._not_this(f"answered {len(choices)} prompts of {count}")
        return choices

    def _read(self, answer: bytes, requests: Sequence[ScoreRequest]) -> list[Answer]:
        choices = self._choices(answer, len(requests))
        return [self._spans(*both) for both in zip(choices, requests, strict=True)]

    def _spans(self, choice: _Choice, request: ScoreRequest) -> Answer:
        """The spans' log-probabilities, each looked up under the token's own id."""
        found, ids = choice.prompt_logprobs, request.ids.tolist()
        if found is None:
            raise ServerError(f"{self.client.label} gave no log-probabilities of the prompt", final=True)
        if len(found) != len(ids) or (choice.prompt_token_ids or ids) != ids:
            raise self._not_this("answered about other tokens than those sent")
        spans = []
        for span in request.spans:
            entries = [(found[at] or {}).get(str(ids[at])) for at in span.tolist()]
            numbers = [None if entry is None else entry.logprob for entry in entries]
            spans.append(checked(numbers, self.client.label))
        return Answer(spans)
