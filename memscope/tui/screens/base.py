"""What the screens of one session share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.binding import Binding
from textual.screen import Screen

from memscope.tui.theme import Palette
from memscope.tui.widgets.activity_bar import ActivityBar

if TYPE_CHECKING:
    from memscope.tui.app import MemscopeApp

Result = TypeVar("Result")

WIDTHS: list[tuple[int, str]] | None = [(0, "-narrow"), (100, "-wide"), (150, "-very-wide")]
HEIGHTS: list[tuple[int, str]] | None = [(0, "-short"), (20, "-tall")]

HELP = Binding(
    "question_mark",
    "app.help",
    "Help",
    id="app.help",
    key_display="?",
    tooltip="All keys, and how to read this",
)
"""Bound by each screen, so that it stands early in the footer and is seen in a narrow window."""


class SessionScreen(Screen[Result]):
    """A screen that the app tells what has changed."""

    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    is_composed = False
    """Whether its widgets are there; what comes before that it sees when it is mounted."""

    def on_mount(self) -> None:
        """Textual calls this beside the `on_mount` of the screen itself."""
        self.is_composed = True

    @property
    def memscope(self) -> MemscopeApp:
        """The app, with the session that it has opened."""
        return cast("MemscopeApp", self.app)

    @property
    def bar(self) -> ActivityBar:
        """This screen's activity bar."""
        return self.query_one(ActivityBar)

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Cells of these memories have changed."""

    def show_all(self, palette: Palette) -> None:
        """The matrix, its metric, order or the palette is another one."""

    def show_conversation(self, palette: Palette) -> None:
        """The conversation has become another one, mostly a longer one."""
        self.show_all(palette)

    def show_state(self) -> None:
        """Preparing or scoring has begun or ended."""
