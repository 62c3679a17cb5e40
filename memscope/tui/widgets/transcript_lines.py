"""The transcript's lines as strips of segments. Knows no widget and no app."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from memscope.conversation.model import Role
from memscope.scoring.matrix import CellState
from memscope.tui.safe import cut, fit, one_line
from memscope.tui.theme import Palette
from memscope.tui.transcript.nodes import Kind, Line, Node
from memscope.tui.transcript.texts import first_words, introduction, role_of
from memscope.tui.transcript.tree import Transcript
from memscope.tui.transcript.wrapped import PART_INDENT
from memscope.tui.view import MatrixView, Ranked
from memscope.tui.widgets.strips import strip
from memscope.tui.wording import nats, weight_words

_SHORT_ROLES = {"system": "sys", "assistant": "asst", "memory": "mem"}
_WIDE = 80
"""Cells from which on roles are whole words."""
_LEAST_TEXT = 8
_FOLDED, _UNFOLDED, _LEAF = "▸ ", "▾ ", "  "
_STATES = {CellState.PENDING: "not scored", CellState.RUNNING: "being scored", CellState.FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells: an entry's number, its role, a response's name, and where texts begin."""

    number: int
    role: int
    name: int
    text: int


class TranscriptLines:
    """Draws the lines of one view's transcript with one palette."""

    def __init__(self, view: MatrixView, transcript: Transcript, palette: Palette) -> None:
        self._view = view
        self._transcript = transcript
        self._palette = palette

    def columns(self, width: int) -> Columns:
        """How a line of `width` cells is divided; the rest is for texts."""
        entries, responses = len(self._view.conversation.entries), len(self._view.conversation.responses)
        number = len(str(max(0, entries - 1)))
        role = 9 if width >= _WIDE else 4
        name = len(f"r{responses}") if responses else 0
        mark_and_fold = 1 + len(_FOLDED)
        return Columns(number, role, name, mark_and_fold + number + 1 + role + 1 + (name + 1 if name else 0))

    def text_width(self, width: int) -> int:
        """The cells of a line that an entry's text may take."""
        return max(_LEAST_TEXT, width - self.columns(width).text)

    def fold_mark(self, line: Line, width: int) -> range:
        """The cells of a line where its fold mark is; none if it folds nothing."""
        if line.line or not self._fold(line).strip():
            return range(0)
        at = 1 if line.node.part.kind is Kind.ENTRY else self._indent(line.node, width)
        return range(at, at + len(_FOLDED))

    def line(
        self, line: Line, width: int, *, here: bool = False, found: re.Pattern[str] | None = None
    ) -> Strip:
        """One line of `width` cells; `here` is the cursor, what was `found` is shown in reverse."""
        palette = self._palette
        if line.node.part.kind is Kind.RULE:
            segments = [self._rule(line.entry, width - 1)]
        elif line.node.part.kind is Kind.ENTRY:
            segments = list(self._entry(line, width, here))
        else:
            segments = [Segment(" " * (self._indent(line.node, width) - 1), palette.normal)]
            segments += self._child(line, width, here)
        mark = Segment(">" if here else " ", palette.accent)
        return strip(
            [mark, *(segments if found is None else _marked(segments, found))], width, palette.normal
        )

    def _indent(self, node: Node, width: int) -> int:
        return self.columns(width).text + len(_FOLDED) * (node.depth - 1)

    def _fold(self, line: Line) -> str:
        spot = line.spot
        if self._transcript.can_unfold(spot):
            return _FOLDED
        return _UNFOLDED if self._transcript.can_fold(spot) else _LEAF

    def _rule(self, entry: int, width: int) -> Segment:
        conversation = self._view.conversation
        source, says = conversation.source, []
        if conversation.contexts > 1:
            cut_here = ": compacted or reset here" if entry else ""
            context = self._contexts[conversation.entries[entry].context]
            says.append(f"context {context} of {conversation.contexts}{cut_here}")
        if not entry and len(source.branches) > 1:
            at, branch = next(
                ((n, b) for n, b in enumerate(source.branches, 1) if b.id == source.branch),
                (1, source.branches[0]),
            )
            title = one_line(branch.title) or one_line(branch.id)
            says.append(f"branch {at} of {len(source.branches)}: {title}")
        text = cut(f"── {' · '.join(says)} ", width)
        return Segment(text + "─" * (width - cell_len(text)), self._palette.faint)

    @cached_property
    def _contexts(self) -> dict[int, int]:
        """The number from 1 of each context that has entries."""
        contexts = sorted({entry.context for entry in self._view.conversation.entries})
        return {context: number for number, context in enumerate(contexts, 1)}

    def _entry(self, line: Line, width: int, here: bool) -> Iterator[Segment]:
        """The head of an entry, or a further line of its text."""
        palette, columns = self._palette, self.columns(width)
        entry = self._view.conversation.entries[line.entry]
        if line.line:
            yield Segment(" " * (columns.text - 1), palette.normal)
        else:
            role = role_of(entry)
            role = role if columns.role > 4 else _SHORT_ROLES.get(role, role)
            label = palette.strong if here else palette.normal
            yield Segment(self._fold(line), palette.accent)
            yield Segment(f"{line.entry:>{columns.number}} ", palette.faint)
            yield Segment(fit(role, columns.role) + " ", label)
            if columns.name:
                response = self._transcript.response_of(line.entry)
                name = "" if response is None else f"r{response + 1}"
                yield Segment(name.ljust(columns.name + 1), palette.accent)
        spoken = entry.role in (Role.USER, Role.ASSISTANT) or entry.memory_key is not None
        style = palette.normal if spoken else palette.faint
        room = self.text_width(width)
        introduced = bool(introduction(entry))
        if introduced and not line.line:
            for segment in self._introduction(line.entry, room):
                room -= cell_len(segment.text)
                yield segment
        if not line.node.is_open:
            yield Segment(cut(first_words(entry, 4 * width), room), style)
        elif line.line >= introduced:
            yield self._text(line, line.line - introduced, style)

    def _introduction(self, entry: int, room: int) -> Iterator[Segment]:
        palette = self._palette
        words = introduction(self._view.conversation.entries[entry])
        memory = self._transcript.memory_of(entry)
        if memory is None:
            yield Segment(cut(words, room * 2 // 3) + "  ", palette.faint)
        else:
            weight = f" ({weight_words(self._view, memory)})  "
            yield Segment(cut(words, max(room // 3, room - len(weight) - 12)), palette.strong)
            yield Segment(weight, self._memory_style(memory))

    def _child(self, line: Line, width: int, here: bool) -> Iterator[Segment]:
        """A line of a node below an entry."""
        palette, node = self._palette, line.node
        room = max(_LEAST_TEXT, width - self._indent(node, width) - len(_FOLDED))
        if line.line:
            yield Segment(" " * PART_INDENT, palette.normal)
            yield self._text(line, line.line - 1, palette.faint)
            return
        label = palette.strong if here else palette.normal
        yield Segment(self._fold(line), palette.accent)
        match node.part.kind:
            case Kind.THINKING | Kind.CALL:
                yield from self._part(line, room, label)
            case Kind.INFLUENCE:
                yield from self._influence(node, room, label)
            case Kind.EFFECT:
                yield from self._effect(node, room, label)
            case Kind.MEMORY:
                weight = f" ({weight_words(self._view, node.part.number)})"
                key = one_line(self._view.matrix.keys[node.part.number])
                yield Segment("memory " + cut(key, max(1, room - len(weight) - 7)), label)
                yield Segment(weight, self._memory_style(node.part.number))
            case Kind.MORE:
                yield Segment(cut(rest_words(node.rest), room), label if here else palette.faint)

    def _part(self, line: Line, room: int, label: Style) -> Iterator[Segment]:
        part = line.node.part
        entry = self._view.conversation.entries[line.entry]
        if part.kind is Kind.THINKING:
            name = "thinking"
        else:
            name = cut("→ " + one_line(entry.tool_calls[part.number].name), max(3, room * 2 // 3))
        yield Segment(name + "  ", label)
        if not line.node.is_open:
            text, lines = self._transcript.text(line.entry, part)
            beginning = one_line(text[: 4 * room])
            whole = f"{beginning} …" if len(text) > 4 * room and len(lines) > 1 else beginning
            yield Segment(cut(whole, max(0, room - cell_len(name) - 2)), self._palette.faint)

    def _influence(self, node: Node, room: int, label: Style) -> Iterator[Segment]:
        assert node.cell is not None
        score = f" ({score_words(self._view, node.cell)})"
        key = one_line(self._view.matrix.keys[node.cell.memory])
        yield Segment("<- ", self._palette.faint)
        yield Segment(cut(key, max(room // 3, room - 3 - cell_len(score))), label)
        yield Segment(cut(score, room), self._cell_style(node.cell))

    def _effect(self, node: Node, room: int, label: Style) -> Iterator[Segment]:
        assert node.cell is not None
        name, score = f"r{node.cell.response + 1}", f" ({score_words(self._view, node.cell)})"
        yield Segment("-> ", self._palette.faint)
        yield Segment(name, label)
        yield Segment(score, self._cell_style(node.cell))
        entry = self._view.conversation.entries[self._view.matrix.responses[node.cell.response]]
        room -= 3 + len(name) + cell_len(score) + 2
        yield Segment("  " + cut(first_words(entry, 4 * max(room, 0)), room), self._palette.faint)

    def _text(self, line: Line, at: int, style: Style) -> Segment:
        text, lines = self._transcript.text(line.entry, line.node.part)
        start, end = lines[at]
        return Segment(text[start:end], style)

    def _cell_style(self, cell: Ranked) -> Style:
        if cell.state is not CellState.SCORED:
            return self._palette.cells[cell.state]
        if not cell.matters:
            return self._palette.faint
        return self._palette.positive if cell.value > 0 else self._palette.negative

    def _memory_style(self, memory: int) -> Style:
        weight = self._view.weights[memory]
        return (
            self._palette.negative
            if weight < 0
            else self._palette.positive
            if weight > 0
            else self._palette.faint
        )


def score_words(view: MatrixView, cell: Ranked) -> str:
    """A cell's number, with `~` if it may be nothing but noise, else why it has none."""
    if cell.state is CellState.SCORED:
        return f"{'~' if view.within_noise(cell.memory, cell.response) else ''}{nats(cell.value)}"
    reason = one_line(view.matrix.errors.get(cell.memory, "")) if cell.state is CellState.FAILED else ""
    return f"{_STATES[cell.state]}{': ' if reason else ''}{reason}"


def rest_words(rest: tuple[Ranked, ...]) -> str:
    """`… 11 more: 3 not scored, 1 failed`."""
    states = Counter(cell.state for cell in rest)
    said = [f"{states[state]:,} {name}" for state, name in _STATES.items() if states[state]]
    if states[CellState.SCORED]:
        return ": ".join(filter(None, [f"… {len(rest):,} more", ", ".join(said)]))
    return f"… {', '.join(said)}"


def _marked(segments: list[Segment], found: re.Pattern[str]) -> Iterator[Segment]:
    """The segments with whatever matches in reverse."""
    for text, style, _ in segments:
        at = 0
        for match in found.finditer(text):
            yield Segment(text[at : match.start()], style)
            yield Segment(match.group(), (style or Style.null()) + Style(reverse=True, bold=True))
            at = match.end()
        yield Segment(text[at:], style)
