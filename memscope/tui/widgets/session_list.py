"""The list of sessions: one line each, drawn for what is in sight; a cursor stays on its session."""

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.session_rows import Row
from memscope.tui.safe import fit, one_line
from memscope.tui.sessions_view import Identity, SessionsView, identity
from memscope.tui.theme import Palette
from memscope.tui.widgets.strips import inner_size, strip
from memscope.wording import age

_FAR = 10**9
LIVE = 60.0
"""Seconds after its last change for which a session counts as live."""
_COLUMNS = (("agent", 11, 76), ("project", 14, 70), ("age", 10, 0), ("ent", 6, 90), ("mem", 5, 60))
"""Names, widths in cells, and the width of the list from which on a column is there."""
_MORE = (("resp", 6, 60), ("strongest memory", 24, 118))


class SessionList(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws a `SessionsView`."""

    ALLOW_SELECT = False
    HELP = "Every session that was found on this machine; Enter opens one."
    DEFAULT_CSS = """
    SessionList {
        background: $background;
        scrollbar-size: 1 1;
        overflow-x: hidden;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="session.up", show=False, tooltip="The session above"),
        Binding("down,j", "move(1)", "Down", id="session.down", show=False, tooltip="The session below"),
        Binding("pageup", "page(-1)", "Page up", id="session.page_up", show=False, tooltip="One screen up"),
        Binding(
            "pagedown", "page(1)", "Page down", id="session.page_down", show=False, tooltip="One screen down"
        ),
        Binding("home,g", f"move(-{_FAR})", "Top", id="session.top", show=False, tooltip="The first session"),
        Binding("end,G", f"move({_FAR})", "End", id="session.end", show=False, tooltip="The last session"),
        Binding("enter", "open", "Open", id="session.open", tooltip="Open the session"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another session, or on none."""

    @dataclass
    class Chosen(Message):
        """The user wants to open the session under the cursor."""

        row: Row

    def __init__(self, view: SessionsView, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view = view
        self.palette = palette
        self.now = 0.0
        """The time of which ages are told, in seconds since 1970."""
        self._line = 0
        self._at: Identity | None = None
        self._told: Row | None = None
        """The session under the cursor when that was told last."""

    @property
    def row(self) -> Row | None:
        """The session under the cursor."""
        return self._view.shown[self._line] if self._line < len(self._view.shown) else None

    @property
    def in_sight(self) -> list[Row]:
        """The sessions that are drawn."""
        top = self.scroll_offset.y
        return self._view.shown[top : top + max(1, self._height)]

    def show(self) -> None:
        """Draw the view as it has become; a cursor that was moved stays on its session."""
        shown = self._view.shown
        if self._at is not None:
            line = next((n for n, row in enumerate(shown) if identity(row.listed) == self._at), None)
            moved = 0 if line is None else line - self._line
            self._line = min(self._line, max(0, len(shown) - 1)) if line is None else line
            self.virtual_size = Size(self.size.width, len(shown))
            self.scroll_to(y=self.scroll_offset.y + moved, animate=False)
        else:
            self._line = 0
        self.virtual_size = Size(self.size.width, len(shown))
        self._into_sight()
        self.refresh()
        self._tell()

    def to_top(self) -> None:
        """Put the cursor on the first session, where it stays."""
        self._at, self._line = None, 0
        self.show()

    def action_move(self, down: int) -> None:
        """Move the cursor by so many sessions, as far as there are any."""
        if self._view.shown:
            self._go(max(0, min(self._line + down, len(self._view.shown) - 1)))

    def action_page(self, direction: int) -> None:
        """Move the cursor by a screen."""
        self.action_move(direction * max(1, self._height - 1))

    def action_open(self) -> None:
        """Open the session under the cursor."""
        if self.row is not None:
            self.post_message(self.Chosen(self.row))

    def on_click(self, event: events.Click) -> None:
        """Move to the session clicked; a second click opens it."""
        offset = event.get_content_offset(self)
        if offset is not None and 0 < offset.y <= len(self._view.shown) - self.scroll_offset.y:
            self._go(offset.y - 1 + self.scroll_offset.y)
            if event.chain == 2:
                self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self.size.width, len(self._view.shown))
        self._into_sight()

    def render_line(self, y: int) -> Strip:
        """The header, then a session a line."""
        width = inner_size(self).width
        if y == 0:
            text = self._text("title", [name for name, *_ in self._columns(width)], width, indent=3)
            return strip([Segment(text, self.palette.faint)], width, self.palette.normal)
        if y == 1 and not self._view.shown and self._view.query:
            text = fit("   no session holds this; esc shows all again", width)
            return strip([Segment(text, self.palette.faint)], width, self.palette.normal)
        line = y - 1 + self.scroll_offset.y
        if line >= len(self._view.shown):
            return Strip.blank(self.size.width, self.palette.normal)
        return self._session(self._view.shown[line], width, here=line == self._line)

    def _session(self, row: Row, width: int, *, here: bool) -> Strip:
        listed = row.listed
        live = 0 <= self.now - listed.modified < LIVE
        counts = [listed.entries, listed.memories, listed.responses]
        entries, memories, responses = (
            "-" if listed.problem else "…" if count is None else f"{count:,}" for count in counts
        )
        values = {
            "agent": listed.agent or listed.format,
            "project": row.project,
            "age": age(self.now - listed.modified),
            "ent": entries.rjust(6),
            "mem": memories.rjust(5),
            "resp": responses.rjust(6),
            "strongest memory": row.strongest,
        }
        title = f"! {listed.problem}" if listed.problem else listed.title
        text = self._text(title, [values[name] for name, *_ in self._columns(width)], width, indent=3)
        style: Style = self.palette.strong if here else self.palette.normal
        if not here and (listed.problem or not row.here):
            style = self.palette.error if listed.problem else self.palette.normal
        marks = [
            Segment(">" if here else " ", self.palette.accent),
            Segment("●" if live else "✓" if row.run is not None else " ", self.palette.positive),
        ]
        return strip([*marks, Segment(text[2:], style)], width, self.palette.normal)

    def _columns(self, width: int) -> list[tuple[str, int, int]]:
        return [column for column in (*_COLUMNS, *_MORE) if width >= column[2]]

    def _text(self, title: str, values: list[str], width: int, indent: int = 0) -> str:
        """A line of exactly `width` cells, the title in what the columns leave."""
        columns = self._columns(width)
        left = width - sum(size + 1 for _, size, _ in columns)
        cells = [fit(" " * indent + one_line(title), left)]
        cells += [fit(one_line(value), size) for value, (_, size, _) in zip(values, columns, strict=True)]
        return " ".join(cells)

    @property
    def _height(self) -> int:
        """Lines for sessions: all but the header."""
        return inner_size(self).height - 1

    def _go(self, line: int) -> None:
        self._line = line
        self._at = identity(self._view.shown[line].listed)
        self._into_sight()
        self.refresh()
        self._tell()

    def _tell(self) -> None:
        """Say if the cursor is on another session, or more is known of it."""
        if self.row is not self._told:
            self._told = self.row
            self.post_message(self.Moved())

    def _into_sight(self) -> None:
        height = max(1, self._height)
        self.virtual_size = Size(self.size.width, len(self._view.shown) + 1)
        top = min(max(self.scroll_offset.y, self._line - height + 1), self._line)
        self.scroll_to(y=top, animate=False)
