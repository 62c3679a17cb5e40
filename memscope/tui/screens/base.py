"""What all screens share; and those of one session: its work on keys, and news of what has changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import Screen

from memscope.scoring.matrix import CellState, Metric
from memscope.tui.commands import Choice
from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.export import ExportScreen, Write
from memscope.tui.theme import Palette, palette
from memscope.tui.view import Members
from memscope.tui.widgets.activity_bar import ActivityBar
from memscope.tui.widgets.line import Line
from memscope.tui.wording import cell_sentence, memories_text, response_text

if TYPE_CHECKING:
    from memscope.tui.app import MemscopeApp

Result = TypeVar("Result")
Copied = tuple[str, Callable[[], str]]
"""What is copied: its name, and what makes its text, in a thread."""

_WIDTHS: list[tuple[int, str]] | None = [(0, "-narrow"), (100, "-wide"), (170, "-very-wide")]
_HEIGHTS: list[tuple[int, str]] | None = [(0, "-short"), (20, "-tall")]


class MemscopeScreen(Screen[Result]):
    """A screen that fits its terminal, and finds in `on_mount` all widgets that it composes."""

    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    HELP_TEXT: ClassVar[str] = ""
    """What the screen's picture means, for the help."""
    IMPORTANT: ClassVar[tuple[str, ...]] = ()
    """The ids of the bindings that stand first in the footer."""

    is_composed = False
    """Whether its widgets are there; what comes before that it sees when it is mounted."""

    async def on_event(self, event: events.Event) -> None:
        """Textual mounts a screen even if the program or the screen was left while it was composed, and then
        the screen lacks some of its widgets or all: such a screen is not told that it is mounted."""
        if isinstance(event, events.Mount):
            self.is_composed = self.is_attached and self.app.is_running and self.display
            if not self.is_composed:
                return
        await super().on_event(event)

    @property
    def memscope(self) -> MemscopeApp:
        """The app."""
        return cast("MemscopeApp", self.app)

    @property
    def palette(self) -> Palette:
        """The styles of the theme as it is now."""
        return palette(self.app)

    @property
    def bar(self) -> ActivityBar:
        """This screen's activity bar."""
        return self.query_one(ActivityBar)

    def line(self, name: str) -> Line:
        """A line by its id."""
        return self.query_one(f"#{name}", Line)

    def choices(self) -> Iterable[Choice]:
        """What the command palette offers here beside the keys: above all what keys only step through."""
        return ()


class SessionScreen(MemscopeScreen[Result]):
    """A screen of the session that is open. While it is in sight the app tells it what has changed; when it
    comes back to sight it is told everything."""

    IMPORTANT: ClassVar[tuple[str, ...]] = ("session.stop", "session.dismiss", "session.score")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "score", "Score", id="session.score", tooltip="Score what is missing"),
        Binding("R", "score_again", "Rescore", id="session.score_again", tooltip="Score everything again"),
        Binding("x", "stop", "Stop", id="session.stop", tooltip="Stop scoring; what is done stays"),
        Binding("f", "follow", "Follow", id="session.follow", tooltip="Pause or go on following the file"),
        Binding("m", "next_metric", "Metric", id="session.metric", tooltip="Signed, clamped, token-clamped"),
        Binding("y", "copy", "Copy", id="session.copy", tooltip="Copy what is under the cursor as text"),
        Binding("e", "export", "Export", id="session.export", tooltip="Write the matrix to a file"),
        Binding(
            "d,escape",
            "dismiss_failures",
            "Dismiss",
            id="session.dismiss",
            tooltip="Let go of the failures shown",
        ),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self.opened = opened
        self.view = opened.view
        self._suspended = False

    def on_screen_suspend(self) -> None:
        """From now on it is not told what changes."""
        self._suspended = True

    def on_screen_resume(self) -> None:
        """Catch up on what has changed meanwhile."""
        if self._suspended:
            self._suspended = False
            cell = self.opened.cell
            self.show_conversation(self.palette)
            self.show_state()
            self.show_cell(*cell)
            self.bar.wake()

    def activity_bar(self) -> ActivityBar:
        """What goes on with the session, for the screen to show."""
        opened, dismisses = self.opened, self.memscope.key("session.dismiss")
        return ActivityBar(opened.session.activities, lambda: opened.busy, dismisses)

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Cells of these memories have changed."""

    def show_set(self, members: Members) -> None:
        """Cells of a set's row have changed, or the set is no longer being scored."""

    def show_all(self, palette: Palette) -> None:
        """The matrix, its metric, order or the palette is another one."""

    def show_conversation(self, palette: Palette) -> None:
        """The conversation has become another one, mostly a longer one."""
        self.show_all(palette)

    def show_state(self) -> None:
        """Preparing or scoring has begun or ended."""

    def show_cell(self, memory: int, response: int) -> None:
        """The user looks at this cell, perhaps since another screen was in sight."""

    def choices(self) -> Iterable[Choice]:
        """Every metric by its name; copies of parts."""
        for metric in self.view.metrics:
            yield f"Metric {metric}", "How per-token drops become one", partial(self._use_metric, metric)
        if all(self.view.matrix.shape):
            yield "Copy the response", "Its text", lambda: self._copy_part("response")
            yield "Copy the memory", "Its text", lambda: self._copy_part("memory")

    @property
    def can_copy(self) -> bool:
        """Whether there is something to copy; asked often."""
        return all(self.view.matrix.shape)

    @property
    def cell(self) -> tuple[int, int]:
        """The row of the view and the response that the user looks at."""
        return self.opened.cell

    def sentence(self, row: int, response: int, key_width: int) -> str:
        """A cell in words, the row's name cut to `key_width` cells."""
        return cell_sentence(self.view, row, response, key_width)

    def copied(self) -> Copied | None:
        """What `y` copies; None if there is nothing."""
        if not self.can_copy:
            return None
        said, texts = self.sentence(*self.cell, key_width=1000), self._texts()
        memory = "memories" if self.view.is_set(self.cell[0]) else "memory"

        def make() -> str:
            return "\n\n".join(filter(None, [said, *(text() for text in texts.values())])) + "\n"

        return f"the cell with its response and {memory}", make

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound."""
        opened, matrix = self.opened, self.view.matrix
        match action:
            case "score":
                return not opened.work.scoring and opened.missing > 0
            case "score_again":
                return opened.work.ready and bool((matrix.states != CellState.IMPOSSIBLE).any())
            case "stop":
                return opened.scoring
            case "follow":
                return opened.following is not None
            case "next_metric":
                return all(matrix.shape)
            case "copy":
                return self.can_copy
            case "export":
                return opened.exportable
            case "dismiss_failures":
                return self.is_composed and self.bar.failures
        return True

    def action_score(self) -> None:
        """Score what is missing, once the model is open; if it could not be opened, try that again."""
        self.opened.score_missing()
        self.memscope.show_state()

    def action_score_again(self) -> None:
        """Score everything again."""
        self.opened.score(fresh=True)
        self.memscope.show_state()

    def action_stop(self) -> None:
        """Stop scoring."""
        self.opened.stop()

    def action_follow(self) -> None:
        """Pause following, or go on and show what came meanwhile."""
        following = self.opened.following
        if following is not None:
            following.paused = not following.paused
            if not following.paused and following.waiting is not None:
                self.memscope.adopt(following.waiting)
            self.memscope.show_state()

    def action_next_metric(self) -> None:
        """Show the next metric; an export follows it."""
        self._use_metric(self.view.next_metric())

    def action_copy(self) -> None:
        """Copy what is under the cursor."""
        copied = self.copied()
        if copied is not None:
            self.memscope.copy(*copied)

    def action_export(self) -> None:
        """Ask where to write the matrix."""

        def write(path: Path) -> Callable[[], None]:
            # Only here, because the first paint does not need it.
            from memscope.export import export

            return partial(export, self.opened.session.snapshot(), path)

        self.ask_where_to_write(
            "Export the matrix",
            "The ending decides the format: .json, .csv, .npz or .html; .svg draws the screen.",
            f"{self.file_name or 'matrix'}.json",
            write,
        )

    def ask_where_to_write(self, title: str, hint: str, name: str, write: Write, what: str = "") -> None:
        """Ask for a path, proposing `name`, and write there as `ExportScreen` does; then say that, and `what`
        was written."""

        def written(path: Path | None) -> None:
            if path is not None:
                self.opened.notify(f"wrote {what}{' to ' if what else ''}{path}")
                self.memscope.show_state()

        self.app.push_screen(ExportScreen(title, hint, Path(name), write), written)

    @property
    def file_name(self) -> str:
        """The conversation's title as the name of a file, without an ending; may be empty."""
        title = self.opened.session.conversation.source.title
        return re.sub(r"[^\w.-]+", "-", title).strip("-.")[:60]

    def action_dismiss_failures(self) -> None:
        """Let go of the failures shown."""
        self.bar.dismiss()

    def _use_metric(self, metric: Metric) -> None:
        self.view.set_metric(metric)
        self.opened.session.metric = metric
        self.memscope.show_all()
        self.memscope.keep_settings()

    def _texts(self) -> dict[str, Callable[[], str]]:
        """What makes the texts of the response and the memory that the user looks at."""
        row, response = self.cell
        view, conversation = self.view, self.view.conversation
        return {
            "response": partial(response_text, conversation.entries[view.matrix.responses[response]]),
            "memory": partial(memories_text, conversation, view.members(row)),
        }

    def _copy_part(self, name: str) -> None:
        row, response = self.cell
        which = f"r{response + 1}" if name == "response" else one_line(self.view.keys[row])
        self.memscope.copy(f"the {name} {which}", self._texts()[name])
