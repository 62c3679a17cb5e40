"""The `/score` protocol: totals for messages (v1) or for ranges of token ids (v2)."""

from typing import Any

from memscope.scorers.base import TemplateRefusedError
from tests.servers.exchange import Answer, Request, as_json
from tests.servers.model import ModelServer
from tests.servers.oracle import Oracle


class _RefusalError(Exception):
    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ScoreServer(ModelServer):
    """`POST {base}/score`; with `errors_as_200` every error is a 200 with the key `error`.

    v1 takes `messages` and gives one total for each assistant message, v2 takes `prompt` and `score_ranges`
    and gives one for each range.
    """

    def __init__(
        self,
        oracle: Oracle,
        *,
        v1: bool = True,
        v2: bool = True,
        errors_as_200: bool = False,
        base: str = "",
        model: str = "smol",
        root: str | None = None,
        max_model_len: int | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(oracle, model=model, root=root, max_model_len=max_model_len, key=key, delay=delay)
        self.v1 = v1
        self.v2 = v2
        self.errors_as_200 = errors_as_200
        self.scoring_paths = (f"{base}/score",)

    def refused(self, request: Request) -> Answer | None:
        return self._error("wrong key", 401) if super().refused(request) else None

    def respond(self, request: Request) -> Answer:
        if request.method != "POST" or request.path not in self.scoring_paths:
            return as_json({"error": "no such path"}, 404)
        try:
            totals = self._totals(request.body)
        except _RefusalError as refusal:
            return self._error(str(refusal), refusal.status)
        return as_json({"scores": [{"total_logprob": total} for total in totals]})

    def contents(self, messages: list[dict[str, Any]]) -> tuple[list[int], list[range]]:
        """The token ids of a conversation, template text and contents tokenized each on their own, and the
        positions of each content's tokens."""
        tokenizer = self.oracle.tokenizer
        marks = [f"\u27e6{number}\u27e7" for number in range(len(messages))]
        try:
            marked = tokenizer.render(
                [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
            )
            rendered = tokenizer.render(messages)
        except TemplateRefusedError as error:
            raise _RefusalError(f"the chat template refused: {error}") from error
        ids: list[int] = []
        places: list[range] = []
        text = ""
        for message, mark in zip(messages, marks, strict=True):
            before, found, marked = marked.partition(mark)
            if not found:
                raise _RefusalError("the chat template leaves out a message")
            content = str(message["content"])
            after = rendered[len(text) + len(before) :]
            content = content if after.startswith(content) else content.strip()
            ids += tokenizer.encode(before).ids if before else []
            start = len(ids)
            ids += tokenizer.encode(content).ids if content else []
            places.append(range(start, len(ids)))
            text += before + content
        ids += tokenizer.encode(marked).ids if marked else []
        if text + marked != rendered:
            raise _RefusalError("the chat template rewrites a message")
        return ids, places

    def _totals(self, body: Any) -> list[float]:
        if not isinstance(body, dict):
            raise _RefusalError("the body is not JSON")
        if body.get("model") not in (None, self.model):
            raise _RefusalError(f"unknown model {body['model']!r}", 404)
        if self.v2 and "prompt" in body:
            ids = body["prompt"]
            places = [range(start, stop) for start, stop in body.get("score_ranges", [])]
        elif self.v1 and "messages" in body:
            messages = body["messages"]
            ids, contents = self.contents(messages)
            places = [
                place
                for message, place in zip(messages, contents, strict=True)
                if message["role"] == "assistant"
            ]
        else:
            raise _RefusalError(
                "messages are required" if self.v1 else "prompt and score_ranges are required"
            )
        if len(ids) > self.max_model_len:
            raise _RefusalError(f"{len(ids)} tokens are more than {self.max_model_len}")
        if any(place and not 0 < place.start <= place.stop <= len(ids) for place in places):
            raise _RefusalError("a range lies outside of what can be scored")
        logprobs = self.oracle.logprobs(ids)
        return [float(logprobs[place.start : place.stop].astype(float).sum()) for place in places]

    def _error(self, message: str, status: int) -> Answer:
        return as_json({"error": message}, 200 if self.errors_as_200 else status)
