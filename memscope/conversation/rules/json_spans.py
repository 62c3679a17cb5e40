"""JSON inside a text: values with the characters that they stand in, and paths to them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from memscope.conversation.model import Span

_DECODER = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\n\r]*+")
_STEP = re.compile(r"(?:\.|^)(?P<field>[^.\[\]\s]+)|\[(?P<index>\d{1,9}|\*)\]")

Path = tuple[str | int | None, ...]
"""Steps: a field's name, an index, None for every item of a list."""


@dataclass(frozen=True, slots=True)
class Node:
    """A decoded value, and where it stands. Of a list's item also where the comma before it begins and where
    the one behind it ends, with the white space next to them; None where there is none."""

    value: Any
    start: int
    end: int
    comma_before: int | None = None
    comma_after: int | None = None

    @property
    def inside(self) -> Span:
        """The characters that say the value: those of a text without its quotes."""
        quotes = 1 if isinstance(self.value, str) else 0
        return Span(self.start + quotes, self.end - quotes)


def documents(text: str) -> list[Node]:
    """The JSON values that a text consists of, with nothing but white space between; none if it does not."""
    nodes: list[Node] = []
    at = _skip(text, 0)
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        nodes.append(Node(value, at, end))
        at = _skip(text, end)
    return nodes


def elements(text: str, node: Node) -> list[Node]:
    """The items of a list; none of anything else."""
    if not isinstance(node.value, list):
        return []
    nodes: list[Node] = []
    before, at = None, _skip(text, node.start + 1)
    for value in node.value:
        _, end = _DECODER.raw_decode(text, at)
        comma = _skip(text, end)
        following = _skip(text, comma + 1)
        more = text[comma] == ","
        nodes.append(Node(value, at, end, before, following if more else None))
        before, at = end, following
    return nodes


def member(text: str, node: Node, name: str) -> Node | None:
    """What an object holds under a name; the last of several, as the decoded value has it."""
    if not isinstance(node.value, dict) or name not in node.value:
        return None
    found, at = None, node.start
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, _skip(text, at + 1))
        start = _skip(text, _skip(text, end) + 1)
        value, end = _DECODER.raw_decode(text, start)
        if key == name:
            found = Node(value, start, end)
        at = _skip(text, end)
    return found


def parse_path(path: str) -> Path | None:
    """The steps of a path such as `result.people[*].name` or `[0]`, with or without `$` in front; None if it
    is no such path. An empty path has no steps."""
    path = path.removeprefix("$").removeprefix(".")
    steps: list[str | int | None] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        index = match["index"]
        steps.append(match["field"] if index is None else None if index == "*" else int(index))
        at = match.end()
    return tuple(steps)


def select(text: str, node: Node, path: Path) -> Iterator[Node]:
    """The values at the end of a path from `node`, in the order in which they stand."""
    if not path:
        yield node
        return
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        found = member(text, node, step)
        chosen: Sequence[Node] = [found] if found else []
    elif step is None:
        chosen = elements(text, node)
    else:
        chosen = elements(text, node)[step : step + 1]
    for each in chosen:
        yield from select(text, each, rest)


def left_out(node: Node, position: int) -> Span:
    """What to leave out so that the whole item is gone: a value with the comma behind it or, of the last item
    of a list, the one before it, if that is not before `position`, up to where others have been left out."""
    if node.comma_after is not None:
        return Span(node.start, node.comma_after)
    if node.comma_before is not None and node.comma_before >= position:
        return Span(node.comma_before, node.end)
    return Span(node.start, node.end)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
