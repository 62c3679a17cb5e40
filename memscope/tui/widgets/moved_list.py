"""The cells that moved most between two runs, the largest difference first."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.strip import Strip

from memscope.scoring.compare import Comparison, Moved
from memscope.tui.run_wording import moved_title
from memscope.tui.theme import Palette
from memscope.tui.widgets.row_list import RowList
from memscope.tui.widgets.run_lines import moved_line

_MOST = 100
"""Cells that are listed."""


class MovedList(RowList[Moved]):
    """A cell a line."""

    HELP = "The cells that moved most."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "To the cell", id="moved.open", tooltip="Go to the cell in the heatmap"),
    ]

    def __init__(self, found: Comparison, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(palette, id=id)
        self._take(found)

    def show_comparison(self, found: Comparison) -> None:
        """Show another comparison."""
        self._take(found)
        self.to_top()

    @property
    def cell(self) -> tuple[int, int] | None:
        """The memory and the response of the comparison under the cursor."""
        moved = self.item
        if moved is None:
            return None
        return self._found.keys.index(moved.key), self._found.entries.index(moved.entry)

    @property
    def items(self) -> Sequence[Moved]:
        """The cells that are listed."""
        return self._cells

    def identity(self, item: Moved) -> tuple[str, int]:
        """The memory's key, and the response's entry."""
        return item.key, item.entry

    def header(self, width: int) -> str:
        """What this is a list of."""
        return f" {moved_title(self._found, len(self._cells))}"

    def drawn(self, item: Moved, width: int, *, here: bool) -> Strip:
        """A cell."""
        response = self._found.entries.index(item.entry)
        return moved_line(item, response, width, self.palette, here=here and self.has_focus)

    def _take(self, found: Comparison) -> None:
        self._found, self._cells = found, found.moved(_MOST)
