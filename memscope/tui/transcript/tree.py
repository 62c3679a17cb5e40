"""The conversation as a tree that folds, and which node stands at which line; knows no widget."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation, Source
from memscope.scoring.matrix import CellState
from memscope.tui.transcript.contents import Contents
from memscope.tui.transcript.nodes import (
    FOLDABLE,
    HEAD,
    RULE,
    Block,
    Kind,
    Level,
    Line,
    Node,
    Part,
    Spot,
)
from memscope.tui.transcript.wrapped import WrappedTexts
from memscope.tui.view import MatrixView, Ranked

_BLOCKS = 4096
"""Blocks that are kept at most."""


class Transcript:
    """The nodes of a view's conversation under the folds that the user made.

    An entry is a block of lines. Blocks are made when they come into sight; until then the height of an
    entry whose text is unfolded is a guess, and positions told in lines may move: spots do not.
    """

    def __init__(self, view: MatrixView, width: int = 80) -> None:
        """`width` is that of an entry's text, in cells."""
        self._view = view
        self._levels: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._toggled: dict[int, set[Part]] = {}
        self._contents = Contents(Conversation((), (), Source("", "", "")))
        self._texts = WrappedTexts(self._contents, width)
        self._moved = True
        self._known: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """Whether `_own` is exact and not a guess."""
        self._own: NDArray[np.int64] = np.zeros(0, np.int64)
        """Lines that an entry's own text, thinking and calls take while they are unfolded."""
        self.adopt()

    def __len__(self) -> int:
        return len(self._contents.entries)

    @property
    def height(self) -> int:
        """How many lines there are."""
        return int(self._heights.sum())

    @property
    def responses(self) -> tuple[int, ...]:
        """The entries that are responses."""
        return self._view.conversation.responses

    def response_of(self, entry: int) -> int | None:
        """Which response an entry is."""
        number = int(self._contents.response[entry])
        return None if number < 0 else number

    def memory_of(self, entry: int) -> int | None:
        """Which memory an entry is as a whole."""
        return self._contents.whole.get(entry)

    def held_by(self, entry: int) -> Sequence[int]:
        """The memories that are part of an entry's text."""
        return self._contents.held.get(entry, ())

    def adopt(self) -> int:
        """Show the conversation as it has become; entries that are the same stay unfolded as they were. How
        many these are, at the front."""
        before = self._contents.conversation
        self._contents = Contents(self._view.conversation)
        same = before.parting(self._contents.conversation)
        responses = self._contents.response >= 0
        levels = np.where(responses, Level.MEMORIES, Level.HEAD).astype(np.uint8)
        levels[:same] = self._levels[:same]
        self._levels = levels
        self._toggled = {entry: parts for entry, parts in self._toggled.items() if entry < same}
        self._texts.adopt(self._contents, same)
        self._forget_heights(same)
        self.recount()
        return same

    def set_width(self, width: int) -> None:
        """Wrap an entry's text to so many cells."""
        if width != self._texts.width:
            self._texts.set_width(width)
            self._forget_heights()
            self._lay_out()

    def recount(self) -> None:
        """Every value, or the metric, may be another one."""
        self._matters = self._view.matters((slice(None), slice(None)))
        possible = self._view.matrix.states != CellState.IMPOSSIBLE
        self._shown = self._matters.sum(axis=0), self._matters.sum(axis=1)
        self._possible = possible.sum(axis=0), possible.sum(axis=1)
        self._lay_out()

    def update(self, memories: Iterable[int]) -> None:
        """Take in changed values of these memories."""
        rows = np.fromiter(memories, np.intp)
        before, after = self._matters[rows], self._view.matters((rows, slice(None)))
        self._matters[rows] = after
        by_response, by_memory = self._shown
        by_memory[rows] = after.sum(axis=1)
        self._shown = by_response + after.sum(axis=0) - before.sum(axis=0), by_memory
        self._lay_out()

    def lines(self, top: Spot, count: int) -> list[Line]:
        """The lines from `top` on, at most so many; their positions are exact from now on."""
        found: list[Line] = []
        first = self._visible(top)
        for entry in range(self._entry_of(top) if len(self) else 0, len(self)):
            found += islice(self._block(entry).lines(0 if found else first), count - len(found))
            if len(found) == count:
                break
        return found

    def spot_at(self, line: int) -> Spot:
        """What stands at a line."""
        self._start(0)
        line = max(0, min(line, self.height - 1))
        entry = int(np.searchsorted(self._ends, line, side="right"))
        at = line - self._start(entry)
        return self._nth(entry, min(at, self._block(entry).height - 1))

    def line_of(self, spot: Spot) -> int:
        """At which line a spot is, or what it is folded into."""
        at = self._visible(spot)
        return self._start(self._entry_of(spot)) + at

    def move(self, spot: Spot, down: int) -> Spot:
        """The spot so many lines further, at most the first or last one; not meant for long ways."""
        entry, at = self._entry_of(spot), self._visible(spot) + down
        while at < 0 and entry:
            entry -= 1
            at += self._block(entry).height
        while at >= self._block(entry).height and entry < len(self) - 1:
            at -= self._block(entry).height
            entry += 1
        return self._nth(entry, max(0, min(at, self._block(entry).height - 1)))

    @property
    def last(self) -> Spot:
        """The last line."""
        entry = len(self) - 1
        return self._nth(entry, self._block(entry).height - 1)

    def shown(self, spot: Spot) -> Spot:
        """The spot itself, or what it is folded into."""
        return self._nth(self._entry_of(spot), self._visible(spot))

    def node(self, spot: Spot) -> Node:
        """The node of a spot that is in sight."""
        block = self._block(spot.entry)
        return block.nodes[block.index(spot.part)]

    def text(self, entry: int, part: Part) -> tuple[str, list[tuple[int, int]]]:
        """The whole printable text of a node, and the range of each of its lines."""
        return self._texts.text(entry, part)

    def can_unfold(self, spot: Spot) -> bool:
        """Whether a node has something to unfold."""
        if spot.part.kind is not Kind.ENTRY:
            return spot.part.kind in FOLDABLE and not self.node(spot).is_open
        level = self._levels[spot.entry]
        return (level < Level.MEMORIES and self._has_children(spot.entry)) or (
            level < Level.TEXT and self._texts.has_more(spot.entry)
        )

    def can_fold(self, spot: Spot) -> bool:
        """Whether a node has something to fold."""
        if spot.part.kind is not Kind.ENTRY:
            return spot.part.kind in FOLDABLE and self.node(spot).is_open
        level = self._levels[spot.entry]
        return (level >= Level.TEXT and self._texts.has_more(spot.entry)) or (
            level >= Level.MEMORIES and self._has_children(spot.entry)
        )

    def unfold(self, spot: Spot) -> Spot:
        """Unfold a node by a step; where nothing is left to unfold, go to its first child."""
        entry, part, _ = spot
        if self.can_unfold(spot):
            if part.kind is Kind.ENTRY:
                memories = self._levels[entry] < Level.MEMORIES and self._has_children(entry)
                self._set_level(entry, Level.MEMORIES if memories else Level.TEXT)
            else:
                self._toggle(entry, part)
            return spot
        block = self._block(entry)
        nodes, at = block.nodes, block.index(part)
        below = nodes[at + 1 : at + 2]
        if below and part != RULE and below[0].depth > nodes[at].depth:
            return Spot(entry, below[0].part)
        return spot

    def fold(self, spot: Spot) -> Spot:
        """Fold a node by a step; where there is nothing to fold, go to its parent."""
        entry, part, _ = spot
        if not self.can_fold(spot):
            return self.parent(spot)
        if part.kind is Kind.ENTRY:
            text = self._levels[entry] >= Level.TEXT and self._texts.has_more(entry)
            self._set_level(entry, Level.MEMORIES if text else Level.HEAD)
        else:
            self._toggle(entry, part)
        return Spot(entry, part)

    def toggle(self, spot: Spot) -> Spot:
        """Unfold a node with its text, or fold that away; what can't be folded stays as it is."""
        entry, part, line = spot
        if part.kind in FOLDABLE:
            self._toggle(entry, part)
        elif part.kind is Kind.ENTRY and self._texts.has_more(entry):
            unfolded = self._levels[entry] >= Level.TEXT
            self._set_level(entry, Level.MEMORIES if unfolded else Level.TEXT)
        elif part.kind is Kind.ENTRY:
            unfolded = self._levels[entry] >= Level.MEMORIES
            self._set_level(entry, Level.HEAD if unfolded else Level.MEMORIES)
        else:
            return spot
        return self.shown(Spot(entry, part, line)) if line else spot

    def parent(self, spot: Spot) -> Spot:
        """The node that a node stands under; an entry's is itself."""
        entry, part, _ = spot
        block = self._block(entry)
        nodes, at = block.nodes, block.index(part)
        above = (node.part for node in reversed(nodes[:at]) if node.depth < nodes[at].depth)
        return Spot(entry, next(above, HEAD if part != RULE else RULE))

    def unfold_all(self) -> None:
        """Unfold every entry by a step, beginning with those that are unfolded least."""
        self._set_levels(min(int(self._levels.min(initial=Level.PARTS)) + 1, Level.PARTS))

    def fold_all(self) -> None:
        """Fold every entry by a step, beginning with those that are unfolded most."""
        self._set_levels(max(int(self._levels.max(initial=Level.HEAD)) - 1, Level.HEAD))

    def reveal(self, entry: int, part: Part) -> Spot:
        """Unfold whatever a node with its whole text is folded into."""
        if part.kind in (Kind.INFLUENCE, Kind.EFFECT, Kind.MEMORY):
            self._set_level(entry, max(self._levels[entry], Level.MEMORIES))
        elif part.kind is not Kind.RULE:
            self._set_level(entry, max(self._levels[entry], Level.TEXT))
        if part.kind in (Kind.THINKING, Kind.CALL) and not self._is_open(entry, part):
            self._toggle(entry, part)
        if part.kind in (Kind.INFLUENCE, Kind.EFFECT) and self.shown(Spot(entry, part)).part != part:
            at = self.shown(Spot(entry, part)).part
            if at.kind is Kind.MORE:
                self._toggle(entry, at)
        return self.shown(Spot(entry, part))

    def _start(self, entry: int) -> int:
        if self._moved:
            self._ends, self._moved = np.cumsum(self._heights), False
        return int(self._ends[entry - 1]) if entry else 0

    def _entry_of(self, spot: Spot) -> int:
        return min(spot.entry, len(self) - 1)

    def _nth(self, entry: int, at: int) -> Spot:
        return next(self._block(entry).lines(at)).spot

    def _visible(self, spot: Spot) -> int:
        """The line in its block where a spot is, or what it is folded into."""
        return self._block(self._entry_of(spot)).line_of(spot)

    def _is_open(self, entry: int, part: Part) -> bool:
        by_default = part.kind is not Kind.MORE and self._levels[entry] >= Level.PARTS
        return by_default != (part in self._toggled.get(entry, ()))

    def _toggle(self, entry: int, part: Part) -> None:
        self._toggled.setdefault(entry, set()).symmetric_difference_update({part})
        self._change(entry)

    def _set_level(self, entry: int, level: int) -> None:
        if level != self._levels[entry]:
            self._levels[entry] = level
            self._change(entry)

    def _set_levels(self, level: int) -> None:
        self._levels[:] = level
        self._toggled.clear()
        self._known[:] = False
        self._lay_out()

    def _change(self, entry: int) -> None:
        self._known[entry] = False
        self._blocks.pop(entry, None)
        self._block(entry)

    def _forget_heights(self, first: int = 0) -> None:
        """The texts from the entry `first` on take other heights."""
        new = len(self) - first
        self._known = np.concatenate([self._known[:first], np.zeros(new, np.bool_)])
        self._own = np.concatenate([self._own[:first], np.ones(new, np.int64)])

    def _lay_out(self) -> None:
        """Find the height of every entry."""
        self._blocks: dict[int, Block] = {}
        by_response, by_memory = (
            shown + (shown < possible) for shown, possible in zip(self._shown, self._possible, strict=True)
        )
        children = self._children = np.zeros(len(self), np.int64)
        children[list(self.responses)] = by_response
        for entry, memory in self._contents.whole.items():
            children[entry] += by_memory[memory]
        for entry, memories in self._contents.held.items():
            children[entry] += len(memories)
        unfolded = self._levels >= Level.TEXT
        unknown = unfolded & ~self._known
        if unknown.any():
            self._own[unknown] = self._texts.guess()[unknown]
        self._heights = self._contents.rule + np.where(unfolded, self._own, 1)
        self._heights += np.where(self._levels >= Level.MEMORIES, children, 0)
        self._moved = True
        for entry in self._toggled:
            self._block(entry)

    def _block(self, entry: int) -> Block:
        """The block of an entry; from now on its height is exact."""
        block = self._blocks.get(entry)
        if block is None:
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            block = self._blocks[entry] = Block(entry, self._nodes(entry))
            if self._levels[entry] >= Level.TEXT:
                own = (node.height for node in block.nodes if RULE.kind < node.part.kind < Kind.INFLUENCE)
                self._own[entry], self._known[entry] = sum(own), True
            if self._heights[entry] != block.height:
                self._heights[entry], self._moved = block.height, True
        return block

    def _nodes(self, entry: int) -> Iterator[Node]:
        """The nodes of an entry that are not folded away."""
        if self._contents.rule[entry]:
            yield Node(RULE, depth=0)
        unfolded = bool(self._levels[entry] >= Level.TEXT)
        yield Node(HEAD, self._texts.head_height(entry) if unfolded else 1, depth=0, is_open=unfolded)
        if unfolded:
            found = self._contents.entries[entry]
            yield from (self._text_node(entry, Part(Kind.THINKING, n)) for n in range(len(found.thinking)))
            yield from (self._text_node(entry, Part(Kind.CALL, n)) for n in range(len(found.tool_calls)))
        if self._levels[entry] < Level.MEMORIES:
            return
        response, memory = self.response_of(entry), self.memory_of(entry)
        if response is not None:
            yield from self._cells(entry, Kind.INFLUENCE, self._view.ranking(response), -1, depth=1)
        if memory is not None:
            yield from self._cells(entry, Kind.EFFECT, self._view.reach(memory), memory, depth=1)
        for memory in self.held_by(entry):
            part = Part(Kind.MEMORY, memory)
            is_open = self._is_open(entry, part)
            yield Node(part, is_open=is_open)
            if is_open:
                yield from self._cells(entry, Kind.EFFECT, self._view.reach(memory), memory, depth=2)

    def _cells(
        self, entry: int, kind: Kind, cells: list[Ranked], memory: int, *, depth: int
    ) -> Iterator[Node]:
        """A node for each cell that matters, and one for the rest."""
        shown = list(takewhile(lambda cell: cell.matters, cells))
        rest = tuple(cells[len(shown) :])
        for cell in shown:
            yield Node(Part(kind, cell.memory, cell.response), depth=depth, cell=cell)
        if rest:
            more = Part(Kind.MORE, memory)
            is_open = self._is_open(entry, more)
            yield Node(more, depth=depth, is_open=is_open, rest=rest)
            if is_open:
                for cell in rest:
                    yield Node(Part(kind, cell.memory, cell.response), depth=depth + 1, cell=cell)

    def _text_node(self, entry: int, part: Part) -> Node:
        is_open = self._is_open(entry, part)
        return Node(part, 1 + len(self.text(entry, part)[1]) if is_open else 1, is_open=is_open)

    def _has_children(self, entry: int) -> bool:
        return bool(self._children[entry])
