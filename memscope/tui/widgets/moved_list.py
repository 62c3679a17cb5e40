"""The cells that moved most between two runs, the largest difference first."""

from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.strip import Strip

from memscope.scoring.compare import Comparison
from memscope.tui.run_wording import moved_title
from memscope.tui.theme import Palette
from memscope.tui.widgets.line_list import LineList
from memscope.tui.widgets.run_lines import moved_line
from memscope.tui.widgets.strips import strip

_MOST = 100
"""Cells that are listed."""


class MovedList(LineList):
    """A cell a line."""

    HELP = "The cells that moved most; Enter goes to one in the heatmap."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "To the cell", id="moved.open", tooltip="Go to the cell in the heatmap"),
    ]

    def __init__(self, found: Comparison, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(palette, id=id)
        self._take(found)

    def show_comparison(self, found: Comparison) -> None:
        """Show another comparison."""
        self._take(found)
        self.show(0)

    @property
    def cell(self) -> tuple[int, int] | None:
        """The memory and the response of the comparison under the cursor."""
        if not self._cells:
            return None
        moved = self._cells[self.line]
        return self._found.keys.index(moved.key), self._found.entries.index(moved.entry)

    @property
    def count(self) -> int:
        """How many cells are listed."""
        return len(self._cells)

    def header(self, width: int) -> Strip:
        """What this is a list of."""
        title = moved_title(self._found, self.count)
        return strip([Segment(f" {title}", self.palette.faint)], width, self.palette.normal)

    def item(self, line: int, width: int, *, here: bool) -> Strip:
        """One cell."""
        moved = self._cells[line]
        response = self._found.entries.index(moved.entry)
        return moved_line(moved, response, width, self.palette, here=here and self.has_focus)

    def _take(self, found: Comparison) -> None:
        self._found, self._cells = found, found.moved(_MOST)
