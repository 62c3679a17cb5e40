"""vLLM 0.32 as its OpenAI-compatible server answers."""

import math
from typing import Any

from memscope.scorers.base import TemplateRefusedError
from tests.servers.exchange import Answer, Request, as_json
from tests.servers.model import (
    CREATED,
    ModelServer,
    RefusedError,
    completion_logprobs,
    identifier,
    optional,
    usage,
)
from tests.servers.oracle import Oracle

_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
_MOST_LOGPROBS = 20


class VllmServer(ModelServer):
    """Completions with `prompt_logprobs` and `echo`, /tokenize, /detokenize, /v1/models, /version, /health.

    `rank` is an upper bound of the real rank. `takes_priority=False` refuses a priority other than 0.
    """

    scoring_paths = ("/v1/completions",)

    def __init__(
        self,
        oracle: Oracle,
        *,
        takes_priority: bool = True,
        version: str = "0.32.0",
        model: str = "smol",
        root: str | None = None,
        max_model_len: int | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(oracle, model=model, root=root, max_model_len=max_model_len, key=key, delay=delay)
        self.takes_priority = takes_priority
        self.version = version

    def refused(self, request: Request) -> Answer | None:
        guarded = request.path.startswith(_GUARDED)
        return as_json({"error": "Unauthorized"}, 401) if guarded and super().refused(request) else None

    def respond(self, request: Request) -> Answer:
        reads = {"/v1/models": self._models, "/version": self._version}
        writes = {
            "/v1/completions": self._completions,
            "/tokenize": self._tokenize,
            "/detokenize": self._detokenize,
        }
        if request.path == "/health":
            return Answer()
        if request.path not in {**reads, **writes}:
            return as_json({"detail": "Not Found"}, 404)
        if request.method != ("GET" if request.path in reads else "POST"):
            return as_json({"detail": "Method Not Allowed"}, 405)
        try:
            if request.path in reads:
                return as_json(reads[request.path]())
            if not isinstance(request.body, dict):
                raise _error("1 validation error:\n  {'type': 'json_invalid'}", "body", kind="Bad Request")
            name = request.body.get("model")
            if name not in (None, self.model):
                message = f"The model `{name}` does not exist. Valid aliases: {self.model}."
                raise _error(message, "model", 404, "NotFoundError")
            return as_json(writes[request.path](request))
        except RefusedError as refused:
            return refused.answer

    def _version(self) -> dict[str, Any]:
        return {"version": self.version}

    def _models(self) -> dict[str, Any]:
        permission = {
            "id": "modelperm-b88b83b2affb30d6",
            "object": "model_permission",
            "created": CREATED,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        model = {
            "id": self.model,
            "object": "model",
            "created": CREATED,
            "owned_by": "vllm",
            "root": self.root,
            "parent": None,
            "max_model_len": self.max_model_len,
            "permission": [permission],
        }
        return {"object": "list", "data": [model]}

    def _completions(self, request: Request) -> dict[str, Any]:
        body = request.body
        prompts = self._prompts(body)
        wanted = body.get("prompt_logprobs")
        if wanted is not None and wanted > _MOST_LOGPROBS:
            text = (
                f"Requested prompt logprobs of {wanted}, which is greater than max allowed: {_MOST_LOGPROBS}"
            )
            raise _error(f"{text} (parameter=prompt_logprobs, value={wanted})", "prompt_logprobs")
        if body.get("priority", 0) != 0 and not self.takes_priority:
            raise _error(f"Got priority {body['priority']} but Priority scheduling is not enabled.")
        lengths = [self._generated(ids, body) for ids in prompts]
        completions = [self.generate(ids, length) for ids, length in zip(prompts, lengths, strict=True)]
        choices = [
            self._choice(at, ids, *completion, body)
            for at, (ids, completion) in enumerate(zip(prompts, completions, strict=True))
        ]
        return {
            "id": identifier("cmpl-", request.raw),
            "object": "text_completion",
            "created": CREATED,
            "model": self.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": f"vllm-{self.version}-0373804e",
            "usage": usage(sum(map(len, prompts)), sum(len(tokens) for tokens, _ in completions))
            | {"prompt_tokens_details": None, "completion_tokens_details": None},
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _prompts(self, body: dict[str, Any]) -> list[list[int]]:
        prompt = body.get("prompt")
        if prompt is None or prompt == "":
            message = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"
            raise _error(message, "prompt")
        if prompt == []:
            raise _error("You must pass at least one prompt")
        given = prompt if isinstance(prompt, list) and not _ids(prompt) else [prompt]
        special = bool(body.get("add_special_tokens", True))
        prompts = []
        for item in given:
            if not isinstance(item, str) and not _ids(item):
                text = (
                    "{'type': 'int_type', 'loc': 'body.prompt.0', 'msg': 'Input should be a valid integer'}"
                )
                raise _error(f"1 validation error:\n  {text}", "body.prompt.0", kind="Bad Request")
            prompts.append(self.encode(item, add_special_tokens=special) if isinstance(item, str) else item)
        return prompts

    def _generated(self, ids: list[int], body: dict[str, Any]) -> int:
        """How many tokens this prompt may generate; refuses prompts that are empty, unknown or too long."""
        if not ids:
            raise _error("The decoder prompt cannot be empty")
        if (largest := max(ids)) >= self.oracle.vocabulary:
            raise _error(f"Token id {largest} is out of vocabulary")
        if len(ids) > self.max_model_len:
            count = f"{'at least ' if len(ids) == self.max_model_len + 1 else ''}{len(ids)}"
            message = (
                f"This model's maximum context length is {self.max_model_len} tokens. However, your prompt"
                f" contains {count} input tokens, which exceeds this limit even without any output tokens."
                f" Please reduce the length of the input prompt. (parameter=input_tokens, value={len(ids)})"
            )
            raise _error(message, "input_tokens")
        count_wanted = body.get("max_tokens")
        length = min(16 if count_wanted is None else int(count_wanted), self.max_model_len - len(ids))
        if length < 1:
            message = f"max_tokens must be at least 1, got {length}. (parameter=max_tokens, value={length})"
            raise _error(message, "max_tokens")
        return length

    def _choice(
        self, index: int, ids: list[int], tokens: list[int], logprobs: list[float], body: dict[str, Any]
    ) -> dict[str, Any]:
        echoed = ids if body.get("echo") else []
        prompt_logprobs = None
        shown = body.get("logprobs")
        if body.get("prompt_logprobs") is not None or (echoed and shown is not None):
            prompt_logprobs = self._prompt_logprobs(ids)
        reported = None
        if shown is not None:
            before = optional(self.oracle.logprobs(ids)) if echoed else []
            pieces = [*self.pieces(echoed), *self.pieces(tokens)]
            reported = completion_logprobs(pieces, [*before, *logprobs])
        return {
            "index": index,
            "text": self.decode([*echoed, *tokens], skip_special_tokens=True),
            "logprobs": reported,
            "finish_reason": "stop" if tokens[-1] == self.oracle.end else "length",
            "stop_reason": None,
            "token_ids": tokens if body.get("return_token_ids") else None,
            "prompt_logprobs": prompt_logprobs,
            "prompt_token_ids": ids if body.get("return_token_ids") else None,
            "routed_experts": None,
        }

    def _prompt_logprobs(self, ids: list[int]) -> list[dict[str, Any] | None]:
        rows: list[dict[str, Any] | None] = [None]
        values = self.oracle.logprobs(ids)[1:].tolist()
        for token, logprob, piece in zip(ids[1:], values, self.pieces(ids)[1:], strict=True):
            rank = min(self.oracle.vocabulary, math.floor(math.exp(min(-logprob, 50.0))))
            entry = {"logprob": max(logprob, -9999.0), "rank": rank, "decoded_token": piece}
            rows.append({str(token): entry})
        return rows

    def _tokenize(self, request: Request) -> dict[str, Any]:
        body = request.body
        if "messages" in body:
            prompted = body.get("add_generation_prompt", True)
            try:
                text = self.oracle.tokenizer.render(body["messages"], add_generation_prompt=prompted)
            except TemplateRefusedError as error:
                raise _error(str(error)) from error
            tokens = self.encode(text, add_special_tokens=bool(body.get("add_special_tokens", False)))
        elif "prompt" in body:
            tokens = self.encode(body["prompt"], add_special_tokens=body.get("add_special_tokens", True))
        else:
            text = "{'type': 'missing', 'loc': 'body.prompt', 'msg': 'Field required'}"
            raise _error(f"1 validation error:\n  {text}", "body.prompt", kind="Bad Request")
        names = None
        if body.get("return_token_strs"):
            names = [self.oracle.words.id_to_token(token) for token in tokens]
        return {
            "count": len(tokens),
            "max_model_len": self.max_model_len,
            "tokens": tokens,
            "token_strs": names,
        }

    def _detokenize(self, request: Request) -> dict[str, Any]:
        return {"prompt": self.decode(request.body.get("tokens", []))}


def _ids(prompt: Any) -> bool:
    return isinstance(prompt, list) and all(type(token) is int for token in prompt)


def _error(
    message: str, param: str | None = None, status: int = 400, kind: str = "BadRequestError"
) -> RefusedError:
    error = {"message": message, "type": kind, "param": param, "code": status}
    return RefusedError(as_json({"error": error}, status))
