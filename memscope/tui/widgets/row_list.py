"""A list of things, one line each under a header, drawn for what is in sight; a cursor stays on its thing."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.tui.safe import fit
from memscope.tui.theme import Palette
from memscope.tui.widgets.strips import inner_size, strip

Item = TypeVar("Item")

_FAR = 10**9


class RowList(ScrollView, Generic[Item], can_focus=True, inherit_bindings=False):
    """A subclass says what the items are, what makes one the same as before, and how a line is drawn."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    RowList {
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
        Binding("enter", "open", "Open", id="list.open", tooltip="Open what is under the cursor"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor was moved to another item, or something about its item was changed by a key."""

    @dataclass
    class Chosen(Message):
        """The user wants to open the item under the cursor."""

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette = palette
        self._line = 0
        self._at: Hashable | None = None
        """What the cursor stays on; None until it is moved."""

    @property
    @abstractmethod
    def items(self) -> Sequence[Item]:
        """What is listed, in order."""

    @abstractmethod
    def identity(self, item: Item) -> Hashable:
        """What makes an item the same as one listed before."""

    @abstractmethod
    def header(self, width: int) -> str:
        """What the line above the items says in `width` cells."""

    @abstractmethod
    def drawn(self, item: Item, width: int, *, here: bool) -> Strip:
        """An item's line of `width` cells; `here` is the cursor."""

    @property
    def emptiness(self) -> str:
        """What to say where nothing is listed."""
        return ""

    @property
    def item(self) -> Item | None:
        """The item under the cursor."""
        return self.items[self._line] if self._line < len(self.items) else None

    @property
    def is_placed(self) -> bool:
        """Whether the cursor was put on an item, and stays on that."""
        return self._at is not None

    @property
    def in_sight(self) -> Sequence[Item]:
        """The items that are drawn."""
        top = self.scroll_offset.y
        return self.items[top : top + max(1, self._height)]

    def show(self) -> None:
        """Draw the items as they have become; a cursor that was moved stays on its item."""
        items = self.items
        if self._at is not None:
            line = next((n for n, item in enumerate(items) if self.identity(item) == self._at), None)
            moved = 0 if line is None else line - self._line
            self._line = min(self._line, max(0, len(items) - 1)) if line is None else line
            self.virtual_size = Size(self.size.width, len(items) + 1)
            self.scroll_to(y=self.scroll_offset.y + moved, animate=False)
        else:
            self._line = 0
        self._into_sight()
        self.refresh()

    def to_top(self) -> None:
        """Put the cursor on the first item, where it stays."""
        self._at, self._line = None, 0
        self.show()

    def move_to(self, identity: Hashable) -> None:
        """Put the cursor on an item, if it is listed."""
        line = next((n for n, item in enumerate(self.items) if self.identity(item) == identity), None)
        if line is not None:
            self._go(line)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to do where nothing is listed."""
        return bool(self.items)

    def action_move(self, down: int) -> None:
        """Move the cursor by so many items, as far as there are any."""
        if self.items:
            self._go(max(0, min(self._line + down, len(self.items) - 1)))

    def action_page(self, direction: int) -> None:
        """Move the cursor by a screen."""
        self.action_move(direction * max(1, self._height - 1))

    def action_open(self) -> None:
        """Open the item under the cursor."""
        if self.item is not None:
            self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        """Move to the item clicked; a second click opens it."""
        offset = event.get_content_offset(self)
        if offset is not None and 0 < offset.y <= len(self.items) - self.scroll_offset.y:
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
        if y == 0:
            return strip([Segment(self.header(width), self.palette.faint)], width, self.palette.normal)
        if y == 1 and not self.items and self.emptiness:
            text = fit(f"   {self.emptiness}", width)
            return strip([Segment(text, self.palette.faint)], width, self.palette.normal)
        line = y - 1 + self.scroll_offset.y
        if line >= len(self.items):
            return Strip.blank(self.size.width, self.palette.normal)
        return self.drawn(self.items[line], width, here=line == self._line)

    @property
    def _height(self) -> int:
        """Lines for items: all but the header."""
        return inner_size(self).height - 1

    def _go(self, line: int) -> None:
        """Put the cursor on this line, of which there must be an item."""
        self._at = self.identity(self.items[line])
        if line == self._line:
            return
        before, self._line = self._line, line
        top = self.scroll_offset.y
        self._into_sight()
        if self.scroll_offset.y == top:
            self.refresh(*(Region(0, 1 + each - top, self.size.width, 1) for each in (before, line)))
        self.post_message(self.Moved())

    def _into_sight(self) -> None:
        height = max(1, self._height)
        self.virtual_size = Size(self.size.width, len(self.items) + 1)
        top = min(max(self.scroll_offset.y, self._line - height + 1), self._line)
        self.scroll_to(y=top, animate=False)
