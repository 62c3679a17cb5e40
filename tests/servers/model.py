"""What the servers that run a model have in common."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from tests.servers.exchange import Answer, as_json
from tests.servers.loopback import Loopback
from tests.servers.oracle import Oracle

CREATED = 1_760_000_000
"""The `created` of every answer."""


class ModelServer(Loopback):
    """Base of the servers that answer from an oracle. `oracle`, `model` and `root` may change at any time."""

    def __init__(
        self,
        oracle: Oracle,
        *,
        model: str = "smol",
        root: str | None = None,
        max_model_len: int | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(key=key, delay=delay)
        self.oracle = oracle
        self.model = model
        self.root = root or f"/models/{model}"
        self.max_model_len = max_model_len or oracle.context_length

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text."""
        return list(self.oracle.words.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of token ids; ids out of the vocabulary have none."""
        known = [token for token in ids if token < self.oracle.vocabulary]
        return str(self.oracle.words.decode(known, skip_special_tokens=skip_special_tokens))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The tokens' texts; a character made of several tokens stands at the last of them."""
        pieces: list[str] = []
        pending: list[int] = []
        for token in ids:
            pending.append(token)
            text = self.decode(pending)
            whole = not text.endswith("\ufffd") or len(pending) > 4
            pieces.append(text if whole else "")
            pending = [] if whole else pending
        return pieces

    def generate(self, ids: Sequence[int], count: int) -> tuple[list[int], list[float]]:
        """The next `count` tokens, the likeliest one each time, and their log-probabilities; fewer if the
        model ends."""
        tokens: list[int] = []
        logprobs: list[float] = []
        for _ in range(count):
            token, logprob = self.oracle.next_token([*ids, *tokens])
            tokens.append(token)
            logprobs.append(logprob)
            if token == self.oracle.end:
                break
        return tokens, logprobs


def completion_logprobs(
    pieces: Sequence[str], logprobs: Sequence[float | None], offsets: Sequence[int] | None = None
) -> dict[str, Any]:
    """The `logprobs` of an OpenAI completion; offsets are those of the joined pieces if none are given."""
    if offsets is None:
        ends = [0]
        for piece in pieces:
            ends.append(ends[-1] + len(piece))
        offsets = ends[:-1]
    tops = [
        None if logprob is None else {piece: logprob} for piece, logprob in zip(pieces, logprobs, strict=True)
    ]
    return {
        "text_offset": list(offsets),
        "token_logprobs": list(logprobs),
        "tokens": list(pieces),
        "top_logprobs": tops,
    }


def optional(logprobs: Iterable[float]) -> list[float | None]:
    """Log-probabilities for JSON: null where there is none."""
    return [None if logprob != logprob else float(logprob) for logprob in logprobs]


def identifier(prefix: str, raw: bytes) -> str:
    """An answer's id, the same for the same request."""
    return prefix + hashlib.sha256(raw).hexdigest()[:16]


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }


def openai_error(
    message: str, status: int = 400, kind: str = "invalid_request_error", **fields: Any
) -> Answer:
    """An error in OpenAI's shape."""
    return as_json(
        {"error": {"message": message, "type": kind, "param": None, "code": None} | fields}, status
    )


class RefusedError(Exception):
    """A request that the server answers with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode())
        self.answer = answer
