"""Two runs cell by cell: the heatmap of b - a, the cells that moved most, what only one of them has."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from memscope.scoring.matrix import Metric
from memscope.scoring.runs import RunInfo
from memscope.tui import run_wording as words
from memscope.tui.arrangement import RowFilter, RowOrder
from memscope.tui.opened import Opened
from memscope.tui.past_runs import Compared
from memscope.tui.safe import one_line
from memscope.tui.screens.past import PastScreen
from memscope.tui.theme import Palette
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.moved_list import MovedList
from memscope.tui.widgets.past_heatmap import PastHeatmap
from memscope.tui.wording import READ_DIFFERENCES


class CompareScreen(PastScreen):
    """Run b less run a, under the metric of b at first, if both have it."""

    CSS = """
    CompareScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #verdict { height: auto; padding: 0 1; }
        #differing { color: $warning; }
        #side { width: 38%; min-width: 36; max-width: 64; border-left: solid $panel; }
        #moved { height: 1fr; }
        #only { height: auto; max-height: 40%; padding: 0 1; color: $foreground 75%; }
    }
    CompareScreen.-narrow {
        #side { display: none; width: 1fr; max-width: 100%; border-left: none; }
    }
    CompareScreen.-narrow.-list {
        #side { display: block; }
        #heatmap { display: none; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_DIFFERENCES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "tab",
            "switch",
            "List",
            id="compare.switch",
            tooltip="From the heatmap to the list of cells that moved most, and back",
        ),
    ]

    def __init__(self, opened: Opened, compared: Compared) -> None:
        # a difference has a sign whatever the metric
        super().__init__(opened, compared.found.matrix, Metric.SIGNED)
        self.view.set_row_order(RowOrder.STRONGEST)
        self._compared = compared

    def compose(self) -> ComposeResult:
        """Which two, how they differ in all, and where."""
        with Horizontal(id="head"):
            yield Line(id="title")
        yield Line(id="a")
        yield Line(id="b")
        yield Static(id="verdict", markup=False)
        yield Line(id="differing")
        yield from self.compose_heatmap()
        yield self.activity_bar()
        yield KeyBar()

    def compose_main(self) -> ComposeResult:
        """The heatmap; the cells that moved most, and what cannot be compared."""
        yield PastHeatmap(self.view, self.palette, id="heatmap")
        with Vertical(id="side"):
            yield MovedList(self._compared.found, self.palette, id="moved")
            yield Static(id="only", markup=False)

    def on_mount(self) -> None:
        """Begin at the cell that moved most."""
        self.show_all(self.palette)
        self._to_listed()
        self.heatmap.focus()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self._moved.palette = palette
        self._moved.refresh()
        super().show_all(palette)
        self.show_state()

    def show_state(self) -> None:
        """Say which runs these are, and how they differ in all."""
        found, a, b = self._compared.found, self._compared.a, self._compared.b
        parts = ["b - a", self.which_rows(), self._compared.metric, one_line(b.title)]
        self.line("title").say(
            Content.assemble(("two runs", "bold $warning"), "  ", " · ".join(filter(None, parts)))
        )
        for name, run in (("a", a), ("b", b)):
            self.line(name).say(Content.assemble((name, "bold $primary"), f"  {self._described(run)}"))
        self.query_one("#verdict", Static).update(Content(words.verdict(found)))
        differing = words.differing(a, b, self._compared.metric)
        self.line("differing").say(differing)
        self.line("differing").display = bool(differing)
        only = [words.only("a", found.only_a), words.only("b", found.only_b)]
        self.query_one("#only", Static).update(Content("\n".join(filter(None, only))))
        self.bar.say(self.opened.problem)

    def sentence(self, row: int, response: int, key_width: int) -> str:
        """A cell of both runs in words."""
        return words.difference_sentence(self._compared.found, row, response, key_width)

    def on_row_list_moved(self) -> None:
        """The heatmap's cursor goes with the list's."""
        self._to_listed()

    def on_row_list_chosen(self) -> None:
        """From the list to the heatmap."""
        self._to_listed()
        self._show_list(False)

    def action_switch(self) -> None:
        """From the heatmap to the list, or back."""
        self._show_list(self.focused is not self._moved)

    def action_next_metric(self) -> None:
        """Compare under the next metric that both have."""

        async def show() -> None:
            compared = await self._compared.under_next_metric()
            if self.is_attached:
                self._compared = compared
                self.take(compared.found.matrix)
                self._moved.show_comparison(compared.found)
                self.show_all(self.palette)

        self.app.run_worker(show(), group="runs", exclusive=True, exit_on_error=False)

    @property
    def _moved(self) -> MovedList:
        return self.query_one(MovedList)

    def _described(self, run: RunInfo) -> str:
        when = words.exactly(run, time.time())
        return " · ".join([when, f"{words.cells(run)} cells", words.state(run), words.scorer(run)])

    def _to_listed(self) -> None:
        cell = self._moved.cell
        if cell is None:
            return
        if self.view.row_of[cell[0]] < 0:  # filtered out
            self.view.set_filter(RowFilter.ALL)
            self.heatmap.show_rows((), order_changed=True)
            self.show_state()
        self.heatmap.move_to(*cell)

    def _show_list(self, shown: bool) -> None:
        """In a narrow terminal there is room for one of the two."""
        self.set_class(shown, "-list")
        if shown:
            self._to_listed()
        # what is not displayed yet can't be focused
        self.call_after_refresh((self._moved if shown else self.heatmap).focus)
