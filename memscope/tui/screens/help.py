"""The help: every key of the screen below, from its bindings, and what its picture means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from memscope.tui.keys import Command
from memscope.tui.safe import printable
from memscope.tui.widgets.strips import wrap

if TYPE_CHECKING:
    from memscope.tui.host import Host

_NOT_NOW = "In brackets: not now."
_WIDTHS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide")]
_LEAST, _ROOM = 9, 20
"""Cells of the column of keys."""


class HelpScreen(ModalScreen[None]):
    """Closed by Escape, `?` or `q`."""

    CSS = """
    HelpScreen {
        align: center middle;
        background: $background 60%;
        & > VerticalScroll {
            width: 96%;
            max-width: 136;
            height: auto;
            max-height: 96%;
            background: $surface;
            border: round $primary;
            padding: 0 1;
            scrollbar-size: 1 1;
            scrollbar-gutter: stable;
        }
        Static { width: 100%; height: auto; }
        #meaning { margin-top: 1; }
    }
    HelpScreen.-wide {
        & > VerticalScroll { layout: horizontal; }
        #keys { width: 3fr; }
        #meaning { width: 2fr; margin: 0 0 0 2; }
    }
    """
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close", tooltip="Close the help"),
    ]

    def __init__(self, commands: Sequence[Command], meaning: str, notes: Sequence[str]) -> None:
        """`meaning` says how to read the screen; `notes` are about what it shows."""
        super().__init__()
        self._commands = [each for each in commands if each.keys]
        self._meaning = meaning
        self._notes = notes

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        meaning = "\n\n".join(filter(None, [self._meaning, *map(printable, self._notes)]))
        with VerticalScroll() as page:
            page.border_title = "Help"
            page.border_subtitle = f"{cast('Host', self.app).key('help.close')} closes"
            yield Static(id="keys", markup=False)
            if meaning:
                yield Static(Content(meaning), id="meaning", markup=False)

    def on_resize(self) -> None:
        """Wrap what keys do beside the keys."""
        self.call_after_refresh(self._show_keys)

    def _show_keys(self) -> None:
        keys = self.query_one("#keys", Static)
        keys.update(self._keys(keys.size.width))

    def _keys(self, room: int) -> Content:
        subjects = dict.fromkeys(each.subject for each in self._commands)
        width = max((cell_len(" ".join(each.keys)) for each in self._commands), default=0)
        width = max(_LEAST, min(width, _ROOM)) + 2
        lines = []
        for subject in subjects:
            lines.append(Content.assemble((subject, "bold")))
            lines += [_row(each, width, room) for each in self._commands if each.subject == subject]
        if not all(each.works for each in self._commands):
            lines.append(Content.assemble((_NOT_NOW, "dim")))
        return Content("\n").join(lines)


def _row(command: Command, width: int, room: int) -> Content:
    keys, says = " ".join(command.keys), command.binding.tooltip or command.binding.description
    shown = keys if command.works else f"({keys})"
    pad = " " * max(1, width - cell_len(shown))
    lines = [says[start:end] for start, end in wrap(says, max(20, room - width - 1))]
    says = ("\n" + " " * (width + 1)).join(lines)
    style = "bold $primary" if command.works else "dim"
    return Content.assemble(" ", (shown, style), pad, (says, "" if command.works else "dim"))
