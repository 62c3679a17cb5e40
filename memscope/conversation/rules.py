"""Where memories stand inside an entry's text: what a tag in it marks."""

import re
from collections.abc import Iterable, Iterator

from memscope.conversation.model import Entry, Memory, Place, Role, Span, memories_of

# Texts come from strangers: possessive quantifiers keep the time linear in their length.
_OPEN = re.compile(r"""<memory(?=\s)((?:[^<>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?)*+)>""")
_ATTRIBUTE = re.compile(
    r"""(?<![\w:.-])(?P<name>[\w:.-]++)\s*+=\s*+(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\s"']++))"""
)
_CLOSE = "</memory>"

HOW_TO_MARK = (
    "A memory is what the agent was reminded of: a line with a `memory_key` in the log, or "
    '<memory key="...">...</memory> in a system, user or tool message.'
)
"""What to tell someone whose conversation holds none."""


def find_memories(entries: Iterable[Entry]) -> tuple[Memory, ...]:
    """The memories of a conversation: entries that are one, and tagged spans inside other entries."""
    return memories_of(
        (key, place) for index, entry in enumerate(entries) for key, place in _places(index, entry)
    )


def _places(index: int, entry: Entry) -> Iterator[tuple[str, Place]]:
    if entry.memory_key is not None:
        yield entry.memory_key, Place(index, Span(0, len(entry.text)))
    elif entry.role is not Role.ASSISTANT:
        yield from ((key, Place(index, inner, span)) for key, inner, span in _tags(entry))


def _tags(entry: Entry) -> Iterator[tuple[str, Span, Span]]:
    """The key, text and extent of tags that were injected: anywhere in a system or tool message, in a
    user's only at the start, since a user who quotes a tag later has not been given that memory.

    A tag reaches to the first closing one, whatever other tags stand between.
    """
    text, position = entry.text, 0
    while match := _OPEN.search(text, position):
        if entry.role is Role.USER and text[position : match.start()].strip():
            return
        position = match.end()
        if key := _key(match[1]):
            close = text.find(_CLOSE, position)
            if close < 0:
                return
            inner = Span(position, close)
            position = close + len(_CLOSE)
            yield key, inner, Span(match.start(), position)


def _key(attributes: str) -> str:
    """The value of the attribute `key`; empty if there is none or it is blank."""
    for attribute in _ATTRIBUTE.finditer(attributes):
        if attribute["name"] == "key":
            value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
            return value if value.strip() else ""
    return ""
