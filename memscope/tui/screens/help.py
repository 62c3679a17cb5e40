"""The help: every key that works on the screen below, from its bindings, and how to read the picture."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

READING = """A cell says how much less probable a response is when one memory is left out, in nats.
Positive (orange, ░▒▓█ or +): the memory made the agent say it.
Negative (purple, ╌─═≡ or -): the memory spoke against it.
·  too small to mean anything     /  not scored yet     …  being scored     ?  failed
Blank: the memory enters after the response, so nothing can be said.
The range is the same on both sides and stays until you score again or change the metric;
what lies beyond it is drawn as strongest.
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

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._below = below

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        with VerticalScroll() as page:
            page.border_title = "Keys"
            page.border_subtitle = "esc closes"
            yield Static(self._keys() + Content("\n") + Content(READING), markup=False)

    def _keys(self) -> Content:
        rows: dict[str, tuple[list[str], str]] = {}
        for active in self._below.active_bindings.values():
            binding = active.binding
            if binding.system or binding.id is None:
                continue
            names, _ = rows.setdefault(binding.action, ([], active.tooltip or binding.description))
            name = self.app.get_key_display(binding.with_key(binding.key, None))
            if name not in names:
                names.append(name)
        lines = [
            Content.assemble((f" {' '.join(names):<14}", "bold $primary"), " ", says)
            for names, says in rows.values()
        ]
        return Content("\n").join([*lines, Content()])
