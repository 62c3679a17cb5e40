"""The help: every key that works on the screen below, from its bindings, and how to read the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from memscope.tui.keys import bindings_of
from memscope.tui.safe import printable

READING = """A cell says how much less probable a response is when one memory is left out, in nats.
Positive (orange, ░▒▓█ or +): the memory made the agent say it.
Negative (purple, ╌─═≡ or -): the memory spoke against it.
·  under 0.01 nats, or under 1/64 of the range
~  below three times the noise of its response: may be nothing but noise
/  not scored yet     …  being scored     ?  failed
Blank: the memory enters after the response, so nothing can be said.
The range stays until you score again or change the metric; beyond it a cell is drawn as strongest.
Weight of a memory: the sum of its row. Dependence of a response: the sum of its column.
Words: underlined if less probable without the memory, struck through if more probable."""


class HelpScreen(ModalScreen[None]):
    """Closed by Escape, `?` or `q`."""

    CSS = """
    HelpScreen {
        align: center middle;
        background: $background 60%;
        & > VerticalScroll {
            width: 96%;
            max-width: 92;
            height: auto;
            max-height: 96%;
            background: $surface;
            border: round $primary;
            padding: 0 1;
        }
        Static { width: 100%; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close", tooltip="Close the help"),
    ]

    def __init__(self, below: Screen[object], notes: tuple[str, ...], *, reading: bool = True) -> None:
        """`reading` says whether to tell how to read the heatmap."""
        super().__init__()
        self._reading = READING if reading else ""
        self._below = below
        self._notes = notes

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        with VerticalScroll() as page:
            page.border_title = "Keys"
            page.border_subtitle = "esc closes"
            yield Static(self._keys() + "\n" + self._reading + self._all_notes(), markup=False)

    def _all_notes(self) -> str:
        return "".join(f"\n\n{printable(note)}" for note in self._notes)

    def _keys(self) -> Content:
        below = self._below
        seen: set[str] = set()
        rows: dict[str, tuple[list[str], str]] = {}
        for node in filter(None, (below.focused, below, self.app)):
            for binding in bindings_of(type(node)):
                if binding.key in seen:
                    continue
                seen.add(binding.key)
                names, _ = rows.setdefault(binding.action, ([], binding.tooltip))
                names.append(self.app.get_key_display(replace(binding, key_display=None)))
        rows["palette"] = (["^p"], "Commands: theme, screenshot and more")
        lines = [
            Content.assemble((f" {' '.join(names):<12}", "bold $primary"), " ", says)
            for names, says in rows.values()
        ]
        return Content("\n").join([*lines, Content()])
