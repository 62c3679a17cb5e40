"""OpenAI completions with `echo`: the prompt's log-probabilities come back with the completion's."""

from typing import Any

from tests.servers.exchange import Answer, Request, as_json
from tests.servers.model import (
    CREATED,
    ModelServer,
    RefusedError,
    completion_logprobs,
    identifier,
    openai_error,
    optional,
    usage,
)
from tests.servers.oracle import Oracle

_UNLIMITED = 16
"""Tokens that an unlimited completion has before the model ends it."""


class EchoServer(ModelServer):
    """/v1/completions with `echo` and `logprobs`, and /v1/models.

    `top_logprobs` holds each token itself only. `llama_cpp_python` takes one text at a time, as its server
    does, and its arrays have that library's peculiarities: tokens equal to `bos` are left out; where the
    prompt does not begin with `bos`, every log-probability is that of the token coming once more after itself
    and the completion's last token is missing; special tokens have no text; `max_tokens: 0` is unlimited.
    """

    scoring_paths = ("/v1/completions",)

    def __init__(
        self,
        oracle: Oracle,
        *,
        takes_ids: bool = True,
        takes_lists: bool = True,
        llama_cpp_python: bool = False,
        bos: int = 1,
        adds_bos: bool = False,
        owned_by: str = "system",
        model: str = "smol",
        root: str | None = None,
        max_model_len: int | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        """`adds_bos` puts `bos` before text prompts."""
        super().__init__(oracle, model=model, root=root, max_model_len=max_model_len, key=key, delay=delay)
        self.takes_ids = takes_ids and not llama_cpp_python
        self.takes_lists = takes_lists and not llama_cpp_python
        self.llama_cpp_python = llama_cpp_python
        self.bos = bos
        self.adds_bos = adds_bos
        self.owned_by = "me" if llama_cpp_python else owned_by

    def respond(self, request: Request) -> Answer:
        if request.method == "GET" and request.path == "/v1/models":
            model: dict[str, Any] = {"id": self.model, "object": "model", "owned_by": self.owned_by}
            extra: dict[str, Any] = {"permissions": []} if self.llama_cpp_python else {"created": CREATED}
            return as_json({"object": "list", "data": [model | extra]})
        if request.method != "POST" or request.path != "/v1/completions":
            return as_json({"detail": "Not Found"}, 404)
        try:
            return as_json(self._completions(request))
        except RefusedError as refused:
            return refused.answer

    def _completions(self, request: Request) -> dict[str, Any]:
        body = request.body
        if not isinstance(body, dict):
            raise RefusedError(openai_error("The body is not JSON."))
        if body.get("model") not in (None, self.model) and not self.llama_cpp_python:
            message = f"The model `{body['model']}` does not exist."
            raise RefusedError(openai_error(message, 404, code="model_not_found"))
        prompts = self._prompts(body.get("prompt", ""))
        lengths = [self._length(ids, body) for _, ids in prompts]
        rows = [
            (text, ids, *self.generate(ids, length))
            for (text, ids), length in zip(prompts, lengths, strict=True)
        ]
        return {
            "id": identifier("cmpl-", request.raw),
            "object": "text_completion",
            "created": CREATED,
            "model": self.model,
            "choices": [self._choice(at, *row, body) for at, row in enumerate(rows)],
            "usage": usage(sum(len(row[1]) for row in rows), sum(len(row[2]) for row in rows)),
        }

    def _prompts(self, prompt: Any) -> list[tuple[str | None, list[int]]]:
        """The text, where one was given, and the token ids of every prompt."""
        one = not isinstance(prompt, list) or all(type(token) is int for token in prompt)
        given = [prompt] if one else prompt
        if self.llama_cpp_python and not one and len(given) == 1:
            one = True
        if not one and not self.takes_lists:
            raise self._invalid("Only one prompt at a time.")
        prompts: list[tuple[str | None, list[int]]] = []
        for item in given:
            if isinstance(item, str):
                ids = self.encode(item, add_special_tokens=not self.llama_cpp_python)
                prompts.append((item, [self.bos, *ids] if self.adds_bos else ids))
            elif isinstance(item, list) and item and self.takes_ids:
                prompts.append((None, item))
            else:
                raise self._invalid("prompt: Input should be a valid string")
        if not all(ids for _, ids in prompts):
            raise self._invalid("The prompt is empty.")
        return prompts

    def _invalid(self, message: str) -> RefusedError:
        if self.llama_cpp_python:
            return RefusedError(openai_error(message, 500, "internal_server_error"))
        return RefusedError(openai_error(message))

    def _length(self, ids: list[int], body: dict[str, Any]) -> int:
        count = body.get("max_tokens")
        length = 16 if count is None else int(count)
        if self.llama_cpp_python and length == 0:
            length = min(_UNLIMITED, self.max_model_len - len(ids))
        if len(ids) + length > self.max_model_len or len(ids) == self.max_model_len:
            raise RefusedError(
                openai_error(
                    f"This model's maximum context length is {self.max_model_len} tokens, however you"
                    f" requested {len(ids) + length} tokens ({len(ids)} in your prompt; {length} for the"
                    " completion). Please reduce your prompt; or completion length.",
                    param="messages",
                    code="context_length_exceeded",
                )
            )
        return length

    def _choice(
        self,
        index: int,
        text: str | None,
        ids: list[int],
        tokens: list[int],
        logprobs: list[float],
        body: dict[str, Any],
    ) -> dict[str, Any]:
        echoed = ids if body.get("echo") else []
        shown = None
        if body.get("logprobs") is not None and self.llama_cpp_python and echoed:
            shown = self._peculiar(ids, tokens, logprobs)
        elif body.get("logprobs") is not None:
            before = optional(self.oracle.logprobs(ids)) if echoed else []
            pieces, offsets = self._pieces(text, ids) if echoed else ([], [])
            end = len(text) if text is not None and echoed else sum(map(len, pieces))
            for piece in self.pieces(tokens):
                pieces.append(piece)
                offsets.append(end)
                end += len(piece)
            shown = completion_logprobs(pieces, [*before, *logprobs], offsets)
        prompt = (self.decode(ids) if text is None else text) if echoed else ""
        return {
            "text": prompt + self.decode(tokens),
            "index": index,
            "logprobs": shown,
            "finish_reason": "stop" if tokens[-1:] == [self.oracle.end] else "length",
        }

    def _pieces(self, text: str | None, ids: list[int]) -> tuple[list[str], list[int]]:
        """The texts of a prompt's tokens and where they begin in it."""
        if text is None:
            pieces = self.pieces(ids)
            return pieces, completion_logprobs(pieces, [None] * len(pieces))["text_offset"]
        spans = self.oracle.words.encode(text).offsets
        spans = [(0, 0)] * (len(ids) - len(spans)) + list(spans)
        return [text[start:end] for start, end in spans], [start for start, _ in spans]

    def _peculiar(self, ids: list[int], tokens: list[int], logprobs: list[float]) -> dict[str, Any]:
        begins = ids[0] == self.bos
        row: list[int] = [*(ids[1:] if begins else ids), *tokens]
        if begins:
            values = [*self.oracle.logprobs(ids)[1:].tolist(), *logprobs]
        else:
            values = self.oracle.repeated([*ids, *tokens[:-1]]).tolist()
        pieces: list[str] = []
        offsets: list[int] = []
        kept: list[float | None] = []
        end = 0
        for token, value in zip(row, values, strict=False):
            piece = self.decode([token], skip_special_tokens=True).replace("\ufffd", "")
            if token != self.bos:
                pieces.append(piece)
                offsets.append(end)
                kept.append(value)
            end += len(piece)
        if kept:
            kept[0] = None
        return completion_logprobs(pieces, kept, offsets)
