"""The heatmap and the panel of a matrix of the past, laid over the conversation as it is now."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.strip import Strip

from memscope.tui.past_runs import Laid
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.cell_panel import CellPanel
from memscope.tui.widgets.heatmap import Heatmap

_GONE = "no longer in the conversation"


class PastHeatmap(Heatmap):
    """Of the past totals are kept and no words: Enter leads to the present cell, which may have them."""

    HELP = "The matrix of a run that has ended."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "open",
            "Now",
            id="past.open",
            tooltip="To the same cell of the matrix as it is now, where its words are",
        ),
    ]


class PastPanel(CellPanel):
    """Shows texts as they stand in the conversation now, and says which are gone."""

    def __init__(self, view: MatrixView, laid: Laid, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(view, palette, id=id)
        self.laid = laid

    def _response(self, width: int, most: int) -> list[Strip]:
        if self.laid.responses[self._cell[1]] is None:
            entry = self._view.matrix.responses[self._cell[1]]
            return [self._line(f"r{self._cell[1] + 1} · entry {entry} · {_GONE}", width, loud=True)]
        return super()._response(width, most)

    def _memory(self, width: int, most: int) -> list[Strip]:
        if self.laid.memories[self._cell[0]] is None:
            return [self._line(f"this memory is {_GONE}", width)]
        return super()._memory(width, most)
