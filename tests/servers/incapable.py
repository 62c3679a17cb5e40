"""Servers that can't give log-probabilities of prompt tokens."""

from typing import Any

from tests.servers.exchange import Answer, Request, as_json
from tests.servers.loopback import Loopback
from tests.servers.model import CREATED, identifier, openai_error, usage

_TEXT = " the"
_HTML = b"<!doctype html><html><head><title>Welcome</title></head><body>It works.</body></html>"


class PlainServer(Loopback):
    """An OpenAI-compatible endpoint that ignores what it does not know: 200 and one generated token."""

    scoring_paths = ("/v1/completions",)
    owned_by: str | None = "system"

    def __init__(self, *, model: str = "smol", key: str | None = None, delay: float = 0.0) -> None:
        super().__init__(key=key, delay=delay)
        self.model = model

    def respond(self, request: Request) -> Answer:
        if request.method == "GET" and request.path == "/v1/models":
            return as_json(self.models())
        if request.method == "POST" and request.path == "/v1/completions":
            return self.complete(request)
        return self.unknown(request)

    def models(self) -> dict[str, Any]:
        """The answer of /v1/models."""
        model: dict[str, Any] = {"id": self.model, "object": "model", "created": CREATED}
        if self.owned_by is not None:
            model["owned_by"] = self.owned_by
        return {"object": "list", "data": [model]}

    def complete(self, request: Request, logprobs: Any = None, **fields: Any) -> Answer:
        """A completion of one token for each prompt; never anything of the prompt."""
        prompt = request.body.get("prompt") if isinstance(request.body, dict) else None
        if prompt is None:
            return openai_error("you must provide a prompt")
        several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
        count = len(prompt) if several else 1
        choices = [
            {"text": _TEXT, "index": at, "logprobs": logprobs, "finish_reason": "length"}
            for at in range(count)
        ]
        answer = {"id": identifier("cmpl-", request.raw), "object": "text_completion", "created": CREATED}
        answer |= {"model": self.model, "choices": choices, "usage": usage(count, count)}
        return as_json(answer | fields)

    def unknown(self, request: Request) -> Answer:
        """The answer to any other path."""
        return openai_error(f"Unknown request URL: {request.method} {request.path}.", 404)


class LlamaServer(PlainServer):
    """llama.cpp's `llama-server`; with `refuses_echo` it says no to `echo` where others ignore it."""

    owned_by = "llamacpp"

    def __init__(
        self,
        *,
        refuses_echo: bool = False,
        model: str = "smol",
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(model=model, key=key, delay=delay)
        self.refuses_echo = refuses_echo

    def respond(self, request: Request) -> Answer:
        if request.method == "GET" and request.path == "/props":
            settings = {"id": 0, "n_ctx": 4096, "speculative": False, "is_processing": False}
            props = {"default_generation_settings": settings, "total_slots": 4, "model_path": "smol.gguf"}
            return as_json(props | {"chat_template": "", "build_info": "b6000-0123abcd"})
        if request.method == "GET" and request.path == "/health":
            return as_json({"status": "ok"})
        if request.method == "POST" and request.path == "/tokenize":
            content = request.body.get("content", "") if isinstance(request.body, dict) else ""
            return as_json({"tokens": list(range(len(content.split())))})
        return super().respond(request)

    def models(self) -> dict[str, Any]:
        listed = super().models()
        listed["data"][0]["meta"] = {"vocab_type": 2, "n_vocab": 49152, "n_ctx_train": 8192, "n_embd": 576}
        return listed

    def complete(self, request: Request, logprobs: Any = None, **fields: Any) -> Answer:
        body = request.body if isinstance(request.body, dict) else {}
        if body.get("echo") and self.refuses_echo:
            error = {"code": 500, "message": "Only no echo is supported", "type": "server_error"}
            return as_json({"error": error}, 500)
        if body.get("logprobs"):
            token = {"id": 260, "token": _TEXT, "bytes": list(_TEXT.encode()), "logprob": -1.5}
            logprobs = {"content": [{**token, "top_logprobs": [token]}]}
        return super().complete(request, logprobs, system_fingerprint="b6000-0123abcd")

    def unknown(self, request: Request) -> Answer:
        return as_json({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, 404)


class OllamaServer(PlainServer):
    owned_by = "library"

    def respond(self, request: Request) -> Answer:
        if request.method == "GET" and request.path == "/":
            return Answer(body=b"Ollama is running", content_type="text/plain; charset=utf-8")
        if request.method == "GET" and request.path == "/api/version":
            return as_json({"version": "0.12.3"})
        if request.method == "GET" and request.path == "/api/tags":
            details = {"format": "gguf", "family": "llama", "parameter_size": "135M"}
            model = {"name": self.model, "model": self.model, "size": 92_000_000, "details": details}
            return as_json({"models": [model]})
        return super().respond(request)

    def complete(self, request: Request, logprobs: Any = None, **fields: Any) -> Answer:
        if isinstance(request.body, dict) and isinstance(request.body.get("prompt"), list):
            field = "Go struct field CompletionRequest.prompt of type string"
            return openai_error(f"json: cannot unmarshal array into {field}")
        return super().complete(request, system_fingerprint="fp_ollama")

    def unknown(self, request: Request) -> Answer:
        return Answer(404, b"404 page not found", "text/plain")


class LmStudioServer(PlainServer):
    """LM Studio: 200 with an `error` for every path it does not know."""

    owned_by = "organization_owner"

    def respond(self, request: Request) -> Answer:
        if request.method == "GET" and request.path == "/api/v0/models":
            model = {"id": self.model, "object": "model", "type": "llm", "arch": "llama", "state": "loaded"}
            model |= {"publisher": "someone", "compatibility_type": "gguf", "quantization": "Q4_K_M"}
            return as_json({"object": "list", "data": [{**model, "max_context_length": 8192}]})
        return super().respond(request)

    def unknown(self, request: Request) -> Answer:
        return as_json({"error": f"Unexpected endpoint or method. ({request.method} {request.path})"})


class MlxServer(PlainServer):
    """mlx-lm's server: log-probabilities of the generated token only, one text at a time."""

    owned_by = None

    def complete(self, request: Request, logprobs: Any = None, **fields: Any) -> Answer:
        body = request.body if isinstance(request.body, dict) else {}
        if not isinstance(body.get("prompt"), str):
            return as_json({"error": "prompt must be a string"}, 400)
        if body.get("logprobs"):
            logprobs = {"token_logprobs": [-1.5], "top_logprobs": [{"260": -1.5}], "tokens": [260]}
        return super().complete(request, logprobs, system_fingerprint="0.28.0-macOS")

    def unknown(self, request: Request) -> Answer:
        return Answer(404, b"Not Found", "text/html")


class NotFoundServer(Loopback):
    """404 to everything."""

    def respond(self, request: Request) -> Answer:
        return as_json({"detail": "Not Found"}, 404)


class HtmlServer(Loopback):
    """200 and a page to everything."""

    def respond(self, request: Request) -> Answer:
        return Answer(body=_HTML, content_type="text/html; charset=utf-8")
