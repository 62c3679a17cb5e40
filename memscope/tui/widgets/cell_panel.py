"""The panel that follows the heatmap's cursor: the response, its important memories, the memory."""

from rich.segment import Segment
from textual.strip import Strip
from textual.timer import Timer

from memscope.scoring.matrix import CellState
from memscope.tui.safe import cut, one_line, printable
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.memory_rows import largest_value, memory_row
from memscope.tui.widgets.strips import StripView, strip, text_strips
from memscope.tui.wording import memory_places, response_text, response_title

_INTERVAL = 0.12
"""Seconds between two cells that are shown."""
_START = 2000
"""Characters of a text that are looked at; the panel shows only its start."""


class CellPanel(StripView):
    """Shows the cell of a row and a response."""

    DEFAULT_CSS = """
    CellPanel {
        overflow: hidden;
        border-left: solid $panel;
        padding: 0 0 0 1;
    }
    """

    def __init__(
        self,
        view: MatrixView,
        palette: Palette,
        opens: str = "",
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`opens` is the key that shows all memories of the response, if one does."""
        super().__init__(id=id)
        self._view = view
        self._opens = f": press {opens}" if opens else ""
        self.palette = palette
        self._cell = (0, 0)
        self._stale = False
        """Whether another cell is to be shown than the one that is drawn."""
        self._timer: Timer | None = None

    def follow(self, row: int, response: int) -> None:
        """Show another cell, or the same one anew: a row of the view and a response. The first at once, what
        follows quickly only at intervals: a key that is held down would send a panel for each step."""
        self._cell = (row, response)
        self._stale = True
        if self._timer is None:
            self._catch_up()

    def _catch_up(self) -> None:
        self._timer = None
        if self._stale:
            self._stale = False
            self.rebuild()
            if self.is_attached:
                self._timer = self.set_timer(_INTERVAL, self._catch_up)

    def build(self, width: int, height: int) -> list[Strip]:
        """The response's start, as many memories as matter or fit, the memory's text in the rest."""
        if not all(self._view.matrix.shape):
            return []
        blank = Strip.blank(width, self.palette.normal)
        strips = [*self._response(width, most=3 if height < 24 else 5), blank]
        strips += self._memories(width, most=max(3, height - len(strips) - 7))
        strips += [blank, *self._memory(width, most=max(0, height - len(strips) - 1))]
        return strips[:height]

    def _line(self, text: str, width: int, *, loud: bool = False) -> Strip:
        style = self.palette.accent if loud else self.palette.faint
        return strip([Segment(text, style)], width, self.palette.normal)

    def _response(self, width: int, most: int) -> list[Strip]:
        response = self._cell[1]
        entry = self._view.conversation.entries[self._view.matrix.responses[response]]
        start = one_line(response_text(entry)[:_START])
        title = self._line(response_title(self._view, response), width, loud=True)
        return [title, *text_strips(f"“{start}”", width, self.palette.normal, most=most)]

    def _memories(self, width: int, most: int) -> list[Strip]:
        memory, response = self._cell
        ranking = self._view.ranking(response)
        scored = [each for each in ranking if each.state is CellState.SCORED]
        shown = [each for each in scored if each.matters]
        if not shown:
            waiting = len(ranking) - len(scored)
            reason = "not scored yet" if waiting else "no memory matters here"
            return [self._line(reason if ranking else "no memory stands before it", width)]
        more = len(shown) - most
        largest = largest_value(shown)
        strips = [
            memory_row(self._view, self.palette, each, largest, width, here=each.memory == memory)
            for each in (shown[: most - 1] if more > 0 else shown)
        ]
        if more > 0:
            strips.append(self._line(f"    and {more + 1} more{self._opens}", width))
        return strips

    def _memory(self, width: int, most: int) -> list[Strip]:
        """The text of the row's memory, or of each that it leaves out."""
        strips: list[Strip] = []
        members = self._view.members(self._cell[0])
        for memory in members:
            key = cut(one_line(self._view.keys[memory]), max(1, width - 14))
            places = memory_places(self._view.conversation, memory)
            title = [Segment(f"{key} ", self.palette.accent), Segment(f"· {places}", self.palette.faint)]
            strips.append(strip(title, width, self.palette.normal))
            found = self._view.conversation.memories[memory]
            text = printable(self._view.conversation.memory_text(found)[:_START])
            strips += text_strips(text, width, self.palette.normal, most=max(1, most // len(members) - 1))
        return strips
