"""What a conversation's transcript is made of: nodes, parts, spots."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from memscope.tui.view import Ranked


class Level(IntEnum):
    """How far an entry is unfolded."""

    HEAD = 0
    MEMORIES = 1
    """With what it was made of, or where it mattered."""
    TEXT = 2
    """With its whole text, thinking and calls a line each."""
    PARTS = 3
    """With the whole thinking and calls too."""


class Kind(IntEnum):
    """What a node is."""

    RULE = 0
    ENTRY = 1
    THINKING = 2
    CALL = 3
    INFLUENCE = 4
    """A memory under a response."""
    MEMORY = 5
    """A memory that is part of an entry's text."""
    EFFECT = 6
    """A response under a memory."""
    MORE = 7
    """Stands for influences or effects that hardly count."""


class Part(NamedTuple):
    """One node of an entry: `number` is that of a thought, a call or a memory; -1 where there is none."""

    kind: Kind
    number: int = -1
    response: int = -1


class Spot(NamedTuple):
    """A line of the transcript: the line `line` of a node of an entry. It stays the same line whatever is
    folded above it."""

    entry: int
    part: Part
    line: int = 0


HEAD = Part(Kind.ENTRY)
RULE = Part(Kind.RULE)
FOLDABLE = (Kind.THINKING, Kind.CALL, Kind.MEMORY, Kind.MORE)
"""Kinds of nodes that are either open or closed; an entry has a level instead."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node in sight: its lines, its depth below the entry, and what it folds. `cell` is that of an
    influence or an effect, `rest` are those that a `MORE` stands for."""

    part: Part
    height: int = 1
    depth: int = 1
    is_open: bool = False
    cell: Ranked | None = None
    rest: tuple[Ranked, ...] = ()


class Line(NamedTuple):
    """A line in sight."""

    entry: int
    node: Node
    line: int

    @property
    def spot(self) -> Spot:
        """Where it is."""
        return Spot(self.entry, self.node.part, self.line)


class Block:
    """All nodes of an entry that are not folded away, in order."""

    def __init__(self, entry: int, nodes: Iterator[Node]) -> None:
        self.entry = entry
        self.nodes = tuple(nodes)
        self.height = sum(node.height for node in self.nodes)

    def lines(self, first: int = 0) -> Iterator[Line]:
        """Its lines, from `first` on."""
        every = (Line(self.entry, node, line) for node in self.nodes for line in range(node.height))
        return islice(every, first, None)

    def index(self, part: Part) -> int:
        """Which of its nodes a part is."""
        return next(index for index, node in enumerate(self.nodes) if node.part == part)

    def line_of(self, spot: Spot) -> int:
        """The line where a spot is, or what it is folded into."""
        starts: dict[Part, int] = {}
        at = 0
        for node in self.nodes:
            if node.part == spot.part:
                return at + min(spot.line, node.height - 1)
            starts[node.part] = at
            at += node.height
        return next(starts[part] for part in (*_folded_into(spot.part), HEAD) if part in starts)


def _folded_into(part: Part) -> tuple[Part, ...]:
    """The parts that may hide a part of the same entry, the innermost first."""
    match part.kind:
        case Kind.INFLUENCE:
            return (Part(Kind.MORE),)
        case Kind.EFFECT:
            return Part(Kind.MORE, part.number), Part(Kind.MEMORY, part.number)
        case Kind.MORE:
            return (Part(Kind.MEMORY, part.number),)
    return ()
