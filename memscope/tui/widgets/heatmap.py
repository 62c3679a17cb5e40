"""The heatmap: memories down, responses across, one Line-API widget with frozen headers and a cursor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.heatmap_lines import HEADER, HeatmapLines, Window
from memscope.tui.widgets.strips import inner_size

_FAR = 10**9


class Heatmap(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws a `MatrixView`; the cursor stays on its memory and response when rows are re-sorted."""

    ALLOW_SELECT = False
    HELP = "Each cell says how much less probable a response is without a memory."
    DEFAULT_CSS = """
    Heatmap {
        background: $background;
        scrollbar-size: 1 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "Up", id="cell.up", show=False, tooltip="The memory above"),
        Binding("down,j", "move(1, 0)", "Down", id="cell.down", show=False, tooltip="The memory below"),
        Binding("left,h", "move(0, -1)", "Left", id="cell.left", show=False, tooltip="The response before"),
        Binding("right,l", "move(0, 1)", "Right", id="cell.right", show=False, tooltip="The response after"),
        Binding("pageup", "page(-1)", "Page up", id="cell.page_up", show=False, tooltip="One screen up"),
        Binding(
            "pagedown", "page(1)", "Page down", id="cell.page_down", show=False, tooltip="One screen down"
        ),
        Binding(
            "home", f"move(0, -{_FAR})", "First", id="cell.first", show=False, tooltip="The first response"
        ),
        Binding("end", f"move(0, {_FAR})", "Last", id="cell.last", show=False, tooltip="The last response"),
        Binding("g", f"move(-{_FAR}, 0)", "Top", id="cell.top", show=False, tooltip="The top row"),
        Binding("G", f"move({_FAR}, 0)", "Bottom", id="cell.bottom", show=False, tooltip="The bottom row"),
        Binding(
            "enter",
            "open",
            "Open",
            id="cell.open",
            tooltip="Open the response: its words, coloured by memory",
        ),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another cell."""

        memory: int
        response: int

    @dataclass
    class Opened(Message):
        """The user wants to see the response under the cursor."""

        memory: int
        response: int

    @dataclass
    class Hovered(Message):
        """The mouse is over a cell; None once it has left."""

        cell: tuple[int, int] | None

    def __init__(self, view: MatrixView, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view = view
        self._lines = HeatmapLines(view, palette)
        self.memory = int(view.order[0]) if len(view.order) else 0
        self.response = 0
        self._columns = view.matrix.shape[1]
        self._row_drawn = 0
        self._untouched = True
        self._hovered: tuple[int, int] | None = None

    def on_mount(self) -> None:
        self._resize()

    def use(self, view: MatrixView, palette: Palette) -> None:
        """Draw with another palette, or a view that has taken on another matrix or is arranged otherwise.
        Where the last response was in sight it stays so, as long as the cursor does too."""
        at_end = self._first + self._lines.columns(self._width) >= self._cells
        self._lines = HeatmapLines(view, palette)
        rows, responses = len(view.keys), view.matrix.shape[1]
        if self._untouched and len(view.order) and responses:
            self._go_to_strongest()
        self.memory = max(0, min(self.memory, rows - 1))
        self.response = max(0, min(self.response, responses - 1))
        self._leave_hidden_row()
        if at_end and responses > self._columns > 0:
            self.response, cursor = responses - 1, self.response
            self._resize()
            self._scroll_to_cursor(keep=True)
            self.response = cursor
        self._columns = responses
        self._resize()
        self._scroll_to_cursor(keep=True)
        self.refresh()

    def show_rows(self, memories: Sequence[int], *, order_changed: bool) -> None:
        """Draw what has changed; re-sorting leaves the cursor's row where it is on the screen, if it can."""
        if order_changed:
            self._leave_hidden_row()
            self._resize()
            self._scroll_to_cursor(keep=True)
            self.refresh()
            return
        self._refresh_header()
        for row in self._view.row_of[list(memories)].tolist():
            self._refresh_row(row)

    def show_zoom(self) -> None:
        """Cells are wider or narrower: the cursor's column comes to the middle."""
        self._resize()
        columns = self._lines.columns(self._width)
        left = max(0, self._lines.place(self.response, self._width) - columns // 2)
        self.scroll_to(x=left * self._lines.cell, animate=False, force=True)
        self.refresh()

    def move_to(self, memory: int, response: int) -> None:
        """Put the cursor on a cell and bring that into sight."""
        if (memory, response) == (self.memory, self.response):
            return
        before = self.memory
        self.memory, self.response, self._untouched = memory, response, False
        if not self._scroll_to_cursor():
            self._refresh_header()
            for each in {before, memory}:
                self._refresh_row(int(self._view.row_of[each]))
        self.post_message(self.Moved(memory, response))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Without cells there is nowhere to go."""
        return bool(len(self._view.order) and len(self._view.columns))

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor by so many rows and columns of cells, as far as there are any. Of several responses
        in one cell it goes to the one with the largest number."""
        view = self._view
        row = max(0, min(int(view.row_of[self.memory]) + down, len(view.order) - 1))
        memory, response = int(view.order[row]), self.response
        if right:
            here = self._lines.place(response, self._width)
            column = max(0, min(here + right, self._lines.cells(self._width) - 1))
            if column != here:
                response = self._strongest(memory, column)
        self.move_to(memory, response)

    def action_page(self, direction: int) -> None:
        """Move the cursor by a screen."""
        self.action_move(direction * max(1, self._body_height - self._frozen - 1), 0)

    def action_open(self) -> None:
        """Open the response under the cursor."""
        self.post_message(self.Opened(self.memory, self.response))

    def on_click(self, event: events.Click) -> None:
        """Move to the cell clicked; in a header, to its row or column. A second click opens the response."""
        row, column = self._under(event)
        if row is None and column is None:
            return
        memory = self.memory if row is None else int(self._view.order[row])
        response = self.response if column is None else self._strongest(memory, column)
        self.move_to(memory, response)
        if event.chain == 2:
            self.action_open()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell which cell the mouse is over."""
        row, column = self._under(event)
        cell = None
        if row is not None and column is not None:
            memory = int(self._view.order[row])
            cell = memory, self._strongest(memory, column)
        self._hover(cell)

    def on_leave(self) -> None:
        """The mouse is over nothing here."""
        self._hover(None)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._resize()
        self._scroll_to_cursor()

    def watch_show_vertical_scrollbar(self) -> None:
        """A scrollbar that comes or goes changes the width, without a resize."""
        self.on_resize()

    def render_line(self, y: int) -> Strip:
        """One line of the viewport, at `y` from its top."""
        window = Window(self._width, self._first, self.memory, self.response)
        if y == 0:
            return self._lines.marks(window)
        if y == 1:
            return self._lines.sparkline(window)
        row = self._row_at(y)
        if row >= len(self._view.order):
            return Strip.blank(self.size.width, self._lines.blank)
        return self._lines.row(row, window)

    def _go_to_strongest(self) -> None:
        """Until the user moves it, the cursor waits where there is most to see: the top row's strongest cell.
        Once it is on a scored one it stays."""
        self.memory = int(self._view.order[0])
        row = np.abs(self._view.values[self.memory])
        self.response = int(np.nan_to_num(row).argmax())
        self._untouched = bool(np.isnan(row).all())

    def _strongest(self, memory: int, column: int) -> int:
        """Of the responses in a column of cells, the one whose number is shown for a memory."""
        responses = self._lines.responses(column, self._width)
        sizes = np.nan_to_num(np.abs(self._view.values[memory, responses]), nan=-1.0)
        return int(responses[sizes.argmax()])

    def _leave_hidden_row(self) -> None:
        """A cursor on a row that is filtered out, or gone, goes to the top one."""
        self.memory = max(0, min(self.memory, len(self._view.keys) - 1))
        if len(self._view.order) and self._view.row_of[self.memory] < 0:
            self.memory = int(self._view.order[0])

    def _under(self, event: events.MouseEvent) -> tuple[int | None, int | None]:
        """The row of the view and the column of cells under the mouse; both None outside of the heatmap."""
        offset = event.get_content_offset(self)
        if offset is None or not self.check_action("move", ()):
            return None, None
        row = self._row_at(offset.y) if offset.y >= HEADER else None
        column = None
        if offset.x >= self._gutter_width:
            column = (offset.x - self._gutter_width) // self._lines.cell + self._first
        if (row is not None and row >= len(self._view.order)) or (
            column is not None and column >= self._cells
        ):
            return None, None
        return row, column

    def _hover(self, cell: tuple[int, int] | None) -> None:
        if cell != self._hovered:
            self._hovered = cell
            self.post_message(self.Hovered(cell))

    def _row_at(self, y: int) -> int:
        """The row of the view at a line of the widget: the first ones are frozen, the others scroll."""
        row = y - HEADER
        return row if row < self._frozen else row + self.scroll_offset.y

    @property
    def _frozen(self) -> int:
        """Rows that stay on top, never so many that nothing is left for the others."""
        return min(self._view.frozen, self._body_height // 2)

    @property
    def _width(self) -> int:
        return inner_size(self).width

    @property
    def _first(self) -> int:
        return self.scroll_offset.x // self._lines.cell

    @property
    def _cells(self) -> int:
        return self._lines.cells(self._width)

    @property
    def _gutter_width(self) -> int:
        return self._lines.gutter(self._width).width

    @property
    def _body_height(self) -> int:
        return max(1, inner_size(self).height - HEADER)

    def _resize(self) -> None:
        cell, gutter = self._lines.cell, self._gutter_width
        left_over = max(0, self._width - gutter) % cell  # or the last cell could not be scrolled to
        width = gutter + self._cells * cell + left_over
        self.virtual_size = Size(width, len(self._view.order) + HEADER)

    def _refresh_header(self) -> None:
        self.refresh(Region(0, 0, self.size.width, HEADER))

    def _refresh_row(self, row: int) -> None:
        """Draw a row of the view again if it is in sight."""
        line = row if row < self._frozen else row - self.scroll_offset.y
        if row >= 0 and (row < self._frozen or self._frozen <= line < self._body_height):
            self.refresh(Region(0, HEADER + line, self.size.width, 1))

    def _scroll_to_cursor(self, *, keep: bool = False) -> bool:
        """Scroll as little as shows the cursor; with `keep`, first as far as its row has moved."""
        if not self._width or not self.check_action("move", ()):
            return False
        row, frozen = int(self._view.row_of[self.memory]), self._frozen
        left, top = self._first, self.scroll_offset.y
        height, columns = self._body_height, max(1, self._lines.columns(self._width))
        moved, self._row_drawn = row - self._row_drawn, row
        if keep:
            if not top <= row - moved < top + height:
                return False
            top += moved
        if row >= frozen:
            top = min(max(top, row - height + 1), row - frozen)
        column = self._lines.place(self.response, self._width)
        left = min(max(left, column - columns + 1), column)
        before = self.scroll_offset
        # Forced, since a scrollbar that is needed only now has not come yet.
        self.scroll_to(left * self._lines.cell, max(0, top), animate=False, force=True)
        return self.scroll_offset != before
