"""How far the matrix can be trusted: what measuring that costs, then the figures and the redundancy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from memscope.report import fidelity_cost, fidelity_lines
from memscope.tui.opened import Opened
from memscope.tui.widgets.activity_bar import ActivityBar

if TYPE_CHECKING:
    from memscope.tui.host import Host

_WHAT = """The matrix leaves out one memory at a time. Fidelity leaves out many: random halves of them, to \
see whether the sum of the rows predicts what then happens (LDS), the strongest of each response against \
others at random (top-k), all of them, and pairs that may hide each other."""


class FidelityScreen(ModalScreen[None]):
    """Says the cost; Enter measures, which goes on when this is closed; opened again it shows the figures."""

    CSS = """
    FidelityScreen {
        align: center middle;
        background: $background 60%;
        & > VerticalScroll {
            width: 96%;
            max-width: 100;
            height: auto;
            max-height: 90%;
            background: $surface;
            border: round $primary;
            padding: 0 1;
        }
        Static { width: 100%; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "measure", "Measure", id="fidelity.measure", tooltip="Measure the figures"),
        Binding("x", "stop", "Stop", id="fidelity.stop", tooltip="Stop measuring; what is done stays"),
        Binding("escape,q", "dismiss", "Close", id="fidelity.close", tooltip="Close; measuring goes on"),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self._opened = opened

    def compose(self) -> ComposeResult:
        """A page that scrolls, and what is going on."""
        with VerticalScroll() as page:
            page.border_title = "Fidelity"
            page.border_subtitle = f"{self._key('close')} closes"
            yield Static(markup=False)
            yield ActivityBar(self._opened.session.activities, lambda: self._opened.busy)

    def on_mount(self) -> None:
        """Show what there is, and find out what the rest costs."""
        self._opened.measurement.watch(self.show)
        self.show()

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self._opened.measurement.watch(None)

    def on_resize(self) -> None:
        """Wrap the lines anew."""
        self.show()

    def show(self) -> None:
        """Show the figures, or what measuring them costs, or what went wrong."""
        measurement = self._opened.measurement
        width = max(20, min(self.size.width * 96 // 100, 100) - 4)
        if measurement.problem:
            said = measurement.problem
        elif measurement.result is not None:
            said = "\n".join(fidelity_lines(measurement.result, width))
        elif measurement.plan is not None:
            cost = fidelity_cost(measurement.plan)
            does = f"{self._key('stop')} stops" if measurement.running else f"{self._key('measure')} measures"
            keys = f"{does}; {self._key('close')} leaves, and it goes on."
            said = f"{_WHAT}\n\n{cost[0].upper()}{cost[1:]}.\n{keys}"
        else:
            said = f"{_WHAT}\n\nPlanning …"
        self.query_one(Static).update(Content(said))
        self.query_one(ActivityBar).wake()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now."""
        measurement = self._opened.measurement
        if action == "measure":
            return measurement.plan is not None and not measurement.running and measurement.result is None
        return measurement.running if action == "stop" else True

    def action_measure(self) -> None:
        """Measure what was planned."""
        self._opened.measurement.measure()

    def action_stop(self) -> None:
        """Stop measuring."""
        self._opened.measurement.stop()

    def _key(self, does: str) -> str:
        return cast("Host", self.app).key(f"fidelity.{does}")
