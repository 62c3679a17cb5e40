"""The log-probabilities of one prompt inside an answer, whatever the protocol, to be changed in place."""

from typing import Any, Protocol


class Entries(Protocol):
    """One entry a prompt token; of the `/score` protocol, one a total."""

    def __len__(self) -> int: ...

    def set(self, at: int, logprob: float | None) -> None:
        """Change a log-probability."""

    def drop(self, at: int) -> None:
        """Leave an entry out."""

    def rename(self, at: int) -> None:
        """Make an entry that of another token."""

    def remove(self) -> None:
        """Leave them all out."""


def entries_of(answer: Any) -> list[Entries]:
    """The entries of each prompt in the decoded answer of a server."""
    if isinstance(answer, list):
        return [_Sglang(one["meta_info"]) for one in answer]
    if "meta_info" in answer:
        return [_Sglang(answer["meta_info"])]
    if "scores" in answer:
        return [_Score(answer)]
    choices = answer["choices"]
    if any(choice.get("prompt_logprobs") for choice in choices):
        return [_Vllm(choice) for choice in choices]
    generated = answer["usage"]["completion_tokens"] // len(choices)
    return [_Echo(choice, generated) for choice in choices]


class _Vllm:
    def __init__(self, choice: dict[str, Any]) -> None:
        self._choice = choice
        self._rows: list[dict[str, Any] | None] = choice["prompt_logprobs"]

    def __len__(self) -> int:
        return len(self._rows)

    def set(self, at: int, logprob: float | None) -> None:
        row = self._rows[at]
        if logprob is None or row is None:
            self._rows[at] = None
        else:
            next(iter(row.values()))["logprob"] = logprob

    def drop(self, at: int) -> None:
        del self._rows[at]

    def rename(self, at: int) -> None:
        row = self._rows[at]
        assert row is not None, "the first token has no entry"
        token = int(next(iter(row)))
        self._rows[at] = {str(token + 1): row[str(token)]}
        if self._choice["prompt_token_ids"]:
            self._choice["prompt_token_ids"][at] = token + 1

    def remove(self) -> None:
        self._choice["prompt_logprobs"] = None


class _Sglang:
    def __init__(self, meta: dict[str, Any]) -> None:
        self._meta = meta
        self._rows: list[list[Any]] = meta["input_token_logprobs"]

    def __len__(self) -> int:
        return len(self._rows)

    def set(self, at: int, logprob: float | None) -> None:
        self._rows[at][0] = logprob

    def drop(self, at: int) -> None:
        del self._rows[at]

    def rename(self, at: int) -> None:
        self._rows[at][1] += 1

    def remove(self) -> None:
        del self._meta["input_token_logprobs"]


class _Echo:
    def __init__(self, choice: dict[str, Any], generated: int) -> None:
        self._choice = choice
        self._arrays: dict[str, list[Any]] = choice["logprobs"] or {"tokens": [], "token_logprobs": []}
        self._count = max(0, len(self._arrays["tokens"]) - generated)

    def __len__(self) -> int:
        return self._count

    def set(self, at: int, logprob: float | None) -> None:
        self._arrays["token_logprobs"][at % self._count] = logprob

    def drop(self, at: int) -> None:
        for array in self._arrays.values():
            del array[at % self._count]

    def rename(self, at: int) -> None:
        self._arrays["tokens"][at % self._count] += "x"

    def remove(self) -> None:
        self._choice["logprobs"] = None


class _Score:
    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._scores: list[dict[str, Any]] = answer["scores"]

    def __len__(self) -> int:
        return len(self._scores)

    def set(self, at: int, logprob: float | None) -> None:
        self._scores[at]["total_logprob"] = logprob

    def drop(self, at: int) -> None:
        del self._scores[at]

    def rename(self, at: int) -> None:
        raise AssertionError("totals have no tokens")

    def remove(self) -> None:
        del self._answer["scores"]
        self._answer["data"] = [{"index": 0, "object": "score", "score": 0.5}]
