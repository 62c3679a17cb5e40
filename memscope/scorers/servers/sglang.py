"""SGLang: token ids to `/generate` with `logprob_start_len`, so that its radix cache serves the prefix."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import msgspec

from memscope.scorers.base import ScoreRequest
from memscope.scorers.servers.client import ServerClient, ServerError, decode
from memscope.scorers.servers.scorer import Answer, Guess, Served, ServerScorer, checked, served_model

T = TypeVar("T")
_Entry = tuple[float | None, int, str | None]
"""Log-probability, token id, and the token's text if it was asked for."""


class _Meta(msgspec.Struct):
    input_token_logprobs: list[_Entry] | None = None
    output_token_logprobs: list[_Entry] | None = None
    cached_tokens: int = 0
    weight_version: str | None = None


class _Generation(msgspec.Struct):
    meta_info: _Meta


class ModelInfo(msgspec.Struct):
    """What `/get_model_info` tells."""

    model_path: str = ""
    tokenizer_path: str | None = None
    weight_version: str | None = None


class ServerInfo(msgspec.Struct):
    """What `/get_server_info` tells."""

    version: str = ""
    max_req_input_len: int | None = None
    enable_priority_scheduling: bool = False
    schedule_low_priority_values_first: bool = False


class SglangScorer(ServerScorer):
    """Scores on an SGLang server.

    Entry j of its answer is about prompt position `logprob_start_len + j`, and the first is always null; so
    scoring from position a asks for a start at a - 1, up to which the radix cache may be used.
    """

    name: ClassVar[str] = "sglang"
    reuses_prefix: ClassVar[bool] = True
    together: ClassVar[int] = 2

    async def ask(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        """One request for all prompts. Raises ServerError."""
        starts = [min(int(span[0]) for span in request.spans) - 1 for request in requests]
        answer = await self.client.post(
            "/generate", self._body([request.ids.tolist() for request in requests], starts)
        )
        return await asyncio.to_thread(self._read, answer, requests, starts)

    async def identify(self) -> Served:
        """The served model, with the version of its weights."""
        served = await served_model(self.client, self.model)
        info = await model_info(self.client)
        if info is None:
            return served
        told = info.model_path, info.weight_version or ""
        return replace(served, identity=(*served.identity, *told), root=info.model_path)

    async def generate(self, request: ScoreRequest) -> Guess | None:
        """The most probable token after a prompt."""
        ids = request.ids.tolist()
        answer = await self.client.post("/generate", self._body([ids], [len(ids) - 1]))
        (generation,) = self._generations(answer, 1)
        logprob, token, _ = (generation.meta_info.output_token_logprobs or [(None, 0, None)])[0]
        return None if logprob is None else Guess(token, "", logprob)

    async def version(self) -> str:
        """As `/server_info` tells it."""
        return (await server_info(self.client)).version

    def _body(self, prompts: list[list[int]], starts: list[int]) -> dict[str, Any]:
        body = {
            "input_ids": prompts,
            "sampling_params": {"temperature": 0, "max_new_tokens": 1},
            "return_logprob": True,
            "logprob_start_len": starts,
            "top_logprobs_num": 0,
        }
        return body if self.priority is None else {**body, "priority": self.priority}

    def _generations(self, answer: bytes, count: int) -> list[_Generation]:
        generations = decode(answer, list[_Generation], self.client.label)
        if len(generations) != count:
            raise self._not_this(f"answered {len(generations)} prompts of {count}")
        return generations

    def _read(self, answer: bytes, requests: Sequence[ScoreRequest], starts: Sequence[int]) -> list[Answer]:
        generations = self._generations(answer, len(requests))
        return [self._spans(*each) for each in zip(generations, requests, starts, strict=True)]

    def _spans(self, generation: _Generation, request: ScoreRequest, start: int) -> Answer:
        entries, ids = generation.meta_info.input_token_logprobs, request.ids.tolist()
        if not entries:
            raise ServerError(f"{self.client.label} gave no log-probabilities of the prompt", final=True)
        if [token for _, token, _ in entries] != ids[start:]:
            raise self._not_this("answered about other tokens than those sent")
        numbers = [logprob for logprob, _, _ in entries]
        spans = [
            checked([numbers[at - start] for at in span.tolist()], self.client.label)
            for span in request.spans
        ]
        return Answer(spans, generation.meta_info.cached_tokens)


async def model_info(client: ServerClient) -> ModelInfo | None:
    """What the server tells of its model beyond the list; None if it has no such route."""
    return await _either(client, ("/model_info", "/get_model_info"), ModelInfo)


async def server_info(client: ServerClient) -> ServerInfo:
    """What the server tells of its settings."""
    return await _either(client, ("/server_info", "/get_server_info"), ServerInfo) or ServerInfo()


async def _either(client: ServerClient, paths: Sequence[str], type_: type[T]) -> T | None:
    """What stands at the first path that there is; the second is its name in older versions."""
    for path in paths:
        try:
            return decode(await client.get(path), type_, client.label)
        except ServerError as error:
            if error.status != 404:
                raise
    return None
