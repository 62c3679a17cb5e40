"""The memories that were found in a conversation, as lines that a person can read and as a JSON document."""

from collections.abc import Iterator

import msgspec

from memscope.conversation.model import Conversation, Place
from memscope.text import cells, fit, one_line

SCHEMA = "memscope.memories/1"
_LEAST_WIDTH = 60
_BEGINNING = 400
"""Characters of a text that a line or the document may show of it."""


class _PlacePart(msgspec.Struct):
    """Where a memory stands: an entry's index and role, and the characters of the whole of it and of what it
    says, each [start, end)."""

    entry: int
    role: str
    span: tuple[int, int]
    inner: tuple[int, int]
    rule: str
    beginning: str


class _MemoryPart(msgspec.Struct):
    key: str
    places: list[_PlacePart]


class MemoriesDocument(msgspec.Struct):
    """What `memscope sessions --memories PATH --json` prints."""

    schema: str
    path: str
    format: str
    branch: str
    memories: list[_MemoryPart]
    notes: list[str]


def memories_document(conversation: Conversation) -> MemoriesDocument:
    """All memories of a conversation with all their places."""
    source = conversation.source
    return MemoriesDocument(
        schema=SCHEMA,
        path=source.path,
        format=source.format,
        branch=source.branch,
        memories=[
            _MemoryPart(memory.key, [_part(conversation, place) for place in memory.places])
            for memory in conversation.memories
        ],
        notes=list(source.notes),
    )


def memories_report(conversation: Conversation, width: int) -> str:
    """A line for every place of every memory, of at most `width` (60 or more) cells."""
    return "\n".join(line.rstrip() for line in _lines(conversation, max(width, _LEAST_WIDTH))) + "\n"


def _lines(conversation: Conversation, width: int) -> Iterator[str]:
    rows = [
        (memory, _part(conversation, place)) for memory in conversation.memories for place in memory.places
    ]
    where = [f"{place.entry:>5}  {place.role:<9}  {_range(place):>13}" for _, place in rows]
    key = _column("memory", [memory.key for memory, _ in rows], width // 4)
    rule = _column("rule", [place.rule for _, place in rows], width // 5)
    heading = f"{fit('memory', key)}  {'entry':>5}  {'role':<9}  {'characters':>13}  {fit('rule', rule)}"
    yield f"{heading}  text"
    for (memory, place), at in zip(rows, where, strict=True):
        head = f"{fit(memory.key, key)}  {at}  {fit(place.rule, rule)}  "
        yield head + fit(place.beginning, max(1, width - cells(head)))


def _part(conversation: Conversation, place: Place) -> _PlacePart:
    entry = conversation.entries[place.entry]
    start, end = place.inner.start, place.inner.end
    span = (place.span.start, place.span.end) if place.span else (0, len(entry.text))
    beginning = one_line(entry.text[start : min(end, start + _BEGINNING)])
    return _PlacePart(place.entry, entry.role.value, span, (start, end), place.rule, beginning)


def _range(place: _PlacePart) -> str:
    return f"{place.span[0]}-{place.span[1]}"


def _column(heading: str, texts: list[str], most: int) -> int:
    """How many cells a column gets."""
    return min(most, max(cells(one_line(text)) for text in [heading, *texts]))
