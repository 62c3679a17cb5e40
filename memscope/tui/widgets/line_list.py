"""A list of which each item is one line, under a header that stays; a cursor is on one of them."""

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.tui.theme import Palette
from memscope.tui.widgets.strips import inner_size

_FAR = 10**9


class LineList(ScrollView, can_focus=True, inherit_bindings=False):
    """A subclass draws the header and the items; only what is in sight is drawn."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    LineList {
        background: $background;
        scrollbar-size: 1 1;
        overflow-x: hidden;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="list.up", show=False, tooltip="The line above"),
        Binding("down,j", "move(1)", "Down", id="list.down", show=False, tooltip="The line below"),
        Binding("pageup", "page(-1)", "Page up", id="list.page_up", show=False, tooltip="One screen up"),
        Binding(
            "pagedown", "page(1)", "Page down", id="list.page_down", show=False, tooltip="One screen down"
        ),
        Binding("home,g", f"move(-{_FAR})", "Top", id="list.top", show=False, tooltip="The first line"),
        Binding("end,G", f"move({_FAR})", "End", id="list.end", show=False, tooltip="The last line"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another line."""

        list: "LineList"

    @dataclass
    class Chosen(Message):
        """Enter, or a second click, on the line under the cursor."""

        list: "LineList"

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette = palette
        self.line = 0
        """The line under the cursor, from 0."""

    @property
    def count(self) -> int:
        """How many items there are."""
        raise NotImplementedError

    def header(self, width: int) -> Strip:
        """The line that stays on top."""
        raise NotImplementedError

    def item(self, line: int, width: int, *, here: bool) -> Strip:
        """One item, `here` if the cursor is on it."""
        raise NotImplementedError

    def show(self, line: int) -> None:
        """Draw the items as they have become, with the cursor on `line` if there is one."""
        self.line = max(0, min(line, self.count - 1))
        self._into_sight()
        self.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to do on no line."""
        return self.count > 0

    def action_move(self, down: int) -> None:
        """Move the cursor by so many lines, as far as there are any."""
        self._go(self.line + down)

    def action_page(self, direction: int) -> None:
        """Move the cursor by a screen."""
        self.action_move(direction * max(1, self._height - 1))

    def action_open(self) -> None:
        """Choose the line under the cursor."""
        self.post_message(self.Chosen(self))

    def on_click(self, event: events.Click) -> None:
        """Move to the line clicked; a second click chooses it."""
        offset = event.get_content_offset(self)
        if offset is not None and 0 < offset.y <= self.count - self.scroll_offset.y:
            self._go(offset.y - 1 + self.scroll_offset.y)
            if event.chain == 2:
                self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._into_sight()

    def watch_show_vertical_scrollbar(self) -> None:
        """A scrollbar that comes or goes changes the width, without a resize."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The header, then an item a line."""
        width = inner_size(self).width
        line = y - 1 + self.scroll_offset.y
        if y == 0:
            return self.header(width)
        if line >= self.count:
            return Strip.blank(self.size.width, self.palette.normal)
        return self.item(line, width, here=line == self.line)

    @property
    def _height(self) -> int:
        """Lines for items: all but the header."""
        return inner_size(self).height - 1

    def _go(self, line: int) -> None:
        line = max(0, min(line, self.count - 1))
        if line == self.line:
            return
        before, self.line = self.line, line
        top = self.scroll_offset.y
        self._into_sight()
        if self.scroll_offset.y == top:
            self.refresh(*(Region(0, 1 + each - top, self.size.width, 1) for each in (before, line)))
        self.post_message(self.Moved(self))

    def _into_sight(self) -> None:
        self.virtual_size = Size(self.size.width, self.count + 1)
        top = min(max(self.scroll_offset.y, self.line - max(1, self._height) + 1), self.line)
        self.scroll_to(y=top, animate=False)
