"""The candidates for training: one response a line, with what it owes to all memories together."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.strip import Strip

from memscope.scoring.candidates import Candidate
from memscope.scoring.matrix import CellState
from memscope.tui.candidates_view import CandidatesView, per_token
from memscope.tui.safe import fit, one_line
from memscope.tui.theme import Palette
from memscope.tui.widgets.bars import bar
from memscope.tui.widgets.row_list import RowList
from memscope.tui.widgets.strips import strip
from memscope.tui.wording import nats

_COLUMNS = (("entry", 6, 56), ("nats", 9, 0), ("", 8, 60), ("a token", 8, 68), ("tokens", 6, 48))
"""Names, widths in cells, and the width of the list from which on a column is there."""
_MARKS = 8
"""Cells for the cursor, the mark and the response's number."""
_TEXT = 300
"""Characters of a response that are looked at for its first words."""


class CandidateList(RowList[Candidate]):
    """Draws a `CandidatesView`."""

    HELP = "Responses by how much less probable they are without any memory."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Matrix", id="training.open", tooltip="Show the response in the matrix"),
    ]

    def __init__(
        self,
        view: CandidatesView,
        text_of: Callable[[int], str],
        palette: Palette,
        more: str,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`text_of` tells what was said in a response, given by its entry's index; `more` is the key that
        changes the filter."""
        super().__init__(palette, id=id)
        self._view = view
        self._text_of = text_of
        self._more = more

    @property
    def items(self) -> Sequence[Candidate]:
        """The candidates of the view."""
        return self._view.shown

    @property
    def emptiness(self) -> str:
        """What to say where no candidate passes the filter."""
        return f"no response has so much; {self._more} shows more"

    def identity(self, item: Candidate) -> int:
        """The response's index."""
        return item.response

    def header(self, width: int) -> str:
        """The names of the columns."""
        names = "".join(f" {name:>{cells}}" for name, cells, _ in self._columns(width))
        return fit(f"  {'resp':<{_MARKS - 2}}{names}  text", width)

    def drawn(self, item: Candidate, width: int, *, here: bool) -> Strip:
        """A response."""
        palette, is_chosen = self.palette, item.response in self._view.chosen
        worth = item.divergence is not None and item.divergence > 0 and not item.within_noise
        name = palette.strong if here else palette.normal if worth or is_chosen else palette.faint
        segments = [
            Segment(">" if here else " ", palette.accent),
            Segment("✓" if is_chosen else " ", palette.accent),
            Segment(f"r{item.response + 1}".ljust(_MARKS - 2), name),
        ]
        for column, cells, _ in self._columns(width):
            segments += [Segment(" ", palette.normal), self._cell(item, column, cells)]
        left = width - sum(len(segment.text) for segment in segments)
        text = one_line(self._text_of(item.entry)[:_TEXT])
        return strip([*segments, Segment(fit(f"  {text}", left), name)], width, palette.normal)

    def _cell(self, item: Candidate, column: str, cells: int) -> Segment:
        """One column of a response, exactly so many cells."""
        palette, value, each = self.palette, item.divergence, per_token(item)
        if column in ("entry", "tokens"):
            number = item.entry if column == "entry" else item.tokens
            return Segment(
                f"{number:,}".rjust(cells) if number or column == "entry" else " " * cells, palette.faint
            )
        if value is None or each is None:
            mark = "-" if item.state is CellState.IMPOSSIBLE else palette.scale.texts[item.state].strip()
            return Segment((mark if column == "nats" else "").rjust(cells), palette.cells[item.state])
        colour = palette.faint if item.within_noise else palette.positive if value > 0 else palette.negative
        if column == "nats":
            return Segment(f"{'~' if item.within_noise else ''}{nats(value)}".rjust(cells), colour)
        if column == "a token":
            return Segment(f"{each:+.3f}".rjust(cells), colour)
        drawn = "" if item.within_noise else bar(value, self._view.largest, cells)
        return Segment(drawn.ljust(cells), colour)

    def _columns(self, width: int) -> list[tuple[str, int, int]]:
        return [column for column in _COLUMNS if width >= column[2]]
