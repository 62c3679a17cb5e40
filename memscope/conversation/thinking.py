"""`<think>` parts of a response: context for what follows, never scored."""

import re

from memscope.conversation.model import Span

_TAG = re.compile(r"<think>|</think>\s*")


def as_thinking(thought: str) -> str:
    """A thought that stands by itself in a file, as the text in front of what the agent then said."""
    return f"<think>{_TAG.sub('', thought)}</think>\n"


def thinking_spans(text: str) -> tuple[Span, ...]:
    """The `<think>...</think>` parts of `text`, tags and the white space after them included.

    A part that is never closed reaches to the end of the text. Where only the closing tag stands, because
    the chat template had opened it, the part begins with the text.
    """
    spans: list[Span] = []
    start: int | None = 0 if _closes_first(text) else None
    for tag in _TAG.finditer(text):
        if tag[0] == "<think>":
            start = tag.start() if start is None else start
        elif start is not None:
            spans.append(Span(start, tag.end()))
            start = None
    return tuple(spans) if start is None else (*spans, Span(start, len(text)))


def _closes_first(text: str) -> bool:
    first = _TAG.search(text)
    return first is not None and first[0] != "<think>"
