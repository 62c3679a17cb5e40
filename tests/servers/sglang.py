"""SGLang as its native server answers."""

from typing import Any

import numpy as np

from memscope.scorers.base import TokenIds, common_prefix
from tests.servers.exchange import Answer, Request, as_json
from tests.servers.model import CREATED, ModelServer, RefusedError, identifier
from tests.servers.oracle import Oracle


class SglangServer(ModelServer):
    """/generate, /v1/models, /model_info, /server_info, /tokenize, /detokenize, /flush_cache.

    `radix` are the prompts in its cache: of a prompt, the longest prefix shared with one of them is reused up
    to `logprob_start_len`, and `tokens_computed` counts the rest. `weight_version` may change at any time.
    """

    scoring_paths = ("/generate",)

    def __init__(
        self,
        oracle: Oracle,
        *,
        version: str = "0.5.18",
        weight_version: str = "default",
        context_length: int | None = None,
        model: str = "smol",
        root: str | None = None,
        max_model_len: int | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        """`context_length` is what the operator gave on the command line; `root` is the `model_path`."""
        super().__init__(oracle, model=model, root=root, max_model_len=max_model_len, key=key, delay=delay)
        self.version = version
        self.weight_version = weight_version
        self.given_context_length = context_length
        self.radix: list[TokenIds] = []
        self.tokens_computed = 0

    def refused(self, request: Request) -> Answer | None:
        free = request.path.startswith(("/health", "/metrics"))
        return as_json({"error": "Unauthorized"}, 401) if not free and super().refused(request) else None

    def respond(self, request: Request) -> Answer:
        path = request.path.replace("/get_", "/").removeprefix("/v1")
        reads = {"/models": self._models, "/model_info": self._model_info, "/server_info": self._server_info}
        if request.method == "GET" and path in reads and (path == "/models") == ("/v1" in request.path):
            return as_json(reads[path]())
        if path in ("/health", "/health_generate"):
            return Answer()
        if path == "/flush_cache":
            self.radix.clear()
            return Answer(body=b"Cache flushed.\n", content_type="text/plain; charset=utf-8")
        if request.method != "POST" or path not in ("/generate", "/tokenize", "/detokenize"):
            return as_json({"detail": "Not Found"}, 404)
        if not isinstance(request.body, dict):
            return as_json({"detail": [{"type": "json_invalid", "loc": ["body", 1]}]}, 422)
        try:
            if path == "/generate":
                return as_json(self._generate(request))
            return as_json(self._tokenize(request.body) if path == "/tokenize" else self._text(request.body))
        except RefusedError as refused:
            return refused.answer

    def _models(self) -> dict[str, Any]:
        model = {
            "id": self.model,
            "object": "model",
            "created": CREATED,
            "owned_by": "sglang",
            "root": self.model,
            "parent": None,
            "max_model_len": self.max_model_len,
        }
        return {"object": "list", "data": [model]}

    def _model_info(self) -> dict[str, Any]:
        return {
            "model_path": self.root,
            "tokenizer_path": self.root,
            "is_generation": True,
            "preferred_sampling_params": None,
            "weight_version": self.weight_version,
            "has_image_understanding": False,
            "has_audio_understanding": False,
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
        }

    def _server_info(self) -> dict[str, Any]:
        return {
            "model_path": self.root,
            "tokenizer_path": self.root,
            "served_model_name": self.model,
            "context_length": self.given_context_length,
            "weight_version": self.weight_version,
            "disable_radix_cache": False,
            "page_size": 1,
            "max_total_num_tokens": 200_000,
            "max_req_input_len": self.max_model_len - 6,
            "internal_states": [{}],
            "version": self.version,
        }

    def _generate(self, request: Request) -> Any:
        body = request.body
        ids, text = body.get("input_ids"), body.get("text")
        if (ids is None) == (text is None):
            raise _error("Either text, input_ids or input_embeds should be provided.")
        if text is not None:
            ids = self.encode(text) if isinstance(text, str) else [self.encode(one) for one in text]
        batched = bool(ids) and isinstance(ids[0], list)
        prompts: list[list[int]] = ids if batched else [ids]
        starts = body.get("logprob_start_len", -1)
        starts = starts if isinstance(starts, list) else [starts] * len(prompts)
        if len(starts) != len(prompts):
            raise _error("The length of logprob_start_len should be equal to the batch size.")
        sampling = body.get("sampling_params") or {}
        count = int(sampling.get("max_new_tokens", 128))
        for prompt, start in zip(prompts, starts, strict=True):
            self._check(prompt, start, count)
        wanted = bool(body.get("return_logprob"))
        answers = [
            self._one(identifier(str(at), request.raw), prompt, start, count, wanted)
            for at, (prompt, start) in enumerate(zip(prompts, starts, strict=True))
        ]
        return answers if batched else answers[0]

    def _check(self, ids: list[int], start: int, count: int) -> None:
        if not ids:
            raise _error("input_ids cannot be empty.")
        if len(ids) >= self.max_model_len:
            raise _error(
                f"The input ({len(ids)} tokens) is longer than the model's context length"
                f" ({self.max_model_len} tokens)."
            )
        if len(ids) + count > self.max_model_len:
            raise _error(
                "Requested token count exceeds the model's maximum context length of"
                f" {self.max_model_len} tokens. You requested a total of {len(ids) + count} tokens:"
                f" {len(ids)} tokens from the input messages and {count} tokens for the completion."
            )
        if max(ids) >= self.oracle.vocabulary:
            raise _error(f"The input_ids {max(ids)} is out of range [0, {self.oracle.vocabulary}).")
        if start > len(ids):
            raise _error(
                f"req.logprob_start_len={start} is higher than the number of input tokens"
                f" len(req.origin_input_ids)={len(ids)}. Please use a smaller logprob_start_len."
            )

    def _one(self, name: str, ids: list[int], start: int, count: int, wanted: bool) -> dict[str, Any]:
        first = len(ids) if start < 0 else start
        cached = self._reuse(ids, first if wanted else len(ids))
        tokens, logprobs = self.generate(ids, count)
        finish: dict[str, Any] = {"type": "length", "length": count}
        if tokens[-1:] == [self.oracle.end]:
            finish = {"type": "stop", "matched": self.oracle.end}
        meta: dict[str, Any] = {
            "id": name,
            "finish_reason": finish,
            "prompt_tokens": len(ids),
            "weight_version": self.weight_version,
            "total_retractions": 0,
        }
        if wanted:
            values = [None, *self.oracle.logprobs(ids)[first + 1 :].tolist()]
            rows = zip(values, ids[first:], strict=False)
            meta["input_token_logprobs"] = [[value, token, None] for value, token in rows]
            outputs = zip(logprobs, tokens, strict=True)
            meta["output_token_logprobs"] = [[value, token, None] for value, token in outputs]
        meta |= {"completion_tokens": len(tokens), "cached_tokens": cached, "e2e_latency": 0.05}
        return {
            "text": self.decode(tokens, skip_special_tokens=True),
            "output_ids": tokens,
            "meta_info": meta,
        }

    def _reuse(self, ids: list[int], limit: int) -> int:
        """How many first tokens come out of the cache, into which the prompt goes."""
        row = np.asarray(ids, np.int32)
        with self._lock:
            matched = max((common_prefix(row, cached) for cached in self.radix), default=0)
            self.radix.append(row)
            cached = min(matched, limit, len(ids) - 1)
            self.tokens_computed += len(ids) - cached
        return cached

    def _tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt, special = body.get("prompt"), body.get("add_special_tokens", True)
        if isinstance(prompt, str):
            tokens: Any = self.encode(prompt, add_special_tokens=special)
            count: Any = len(tokens)
        elif isinstance(prompt, list):
            tokens = [self.encode(text, add_special_tokens=special) for text in prompt]
            count = [len(ids) for ids in tokens]
        else:
            raise _openai_error("1 validation error for TokenizeRequest: prompt: Field required")
        return {"tokens": tokens, "count": count, "max_model_len": self.max_model_len}

    def _text(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens, skip = body.get("tokens"), body.get("skip_special_tokens", True)
        if not isinstance(tokens, list):
            raise _openai_error(
                f"Invalid tokens type: {type(tokens)}. Expected List[int] or List[List[int]]."
            )
        if tokens and isinstance(tokens[0], list):
            return {"text": [self.decode(ids, skip_special_tokens=skip) for ids in tokens]}
        return {"text": self.decode(tokens, skip_special_tokens=skip)}


def _error(message: str) -> RefusedError:
    """As /generate says no."""
    return RefusedError(as_json({"error": {"message": message}}, 400))


def _openai_error(message: str) -> RefusedError:
    error = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    return RefusedError(as_json(error, 400))
