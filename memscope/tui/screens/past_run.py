"""A past run as it was: its matrix in the heatmap, with panel, sentence and legend."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from memscope.scoring.matrix import CellState, ScoreMatrix
from memscope.scoring.runs import RunInfo
from memscope.tui import run_wording as words
from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.past import PastScreen
from memscope.tui.theme import Palette
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.past_heatmap import PastHeatmap, PastPanel


class PastRunScreen(PastScreen):
    """One run, under the metric that it was scored with at first."""

    CSS = """
    PastRunScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #scorer { width: auto; text-align: right; color: $foreground 60%; }
        #reason { color: $error; }
        #changed { color: $warning; }
    }
    PastRunScreen.-narrow {
        #scorer { display: none; }
    }
    """

    def __init__(self, opened: Opened, run: RunInfo, matrix: ScoreMatrix) -> None:
        super().__init__(opened, matrix, run.metric)
        self.view.use(replace(opened.view.settings, metric=run.metric))
        self._run = run

    def compose(self) -> ComposeResult:
        """As the present matrix is shown, but for the title."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line(words.scorer(self._run), id="scorer")
        yield from self.compose_heatmap()
        yield Line(id="reason")
        yield Line(id="changed")
        yield self.activity_bar()
        yield KeyBar()

    def compose_main(self) -> ComposeResult:
        """The heatmap and its panel."""
        yield PastHeatmap(self.view, self.palette, id="heatmap")
        yield PastPanel(self.view, self.laid, self.palette, id="panel")

    def on_mount(self) -> None:
        """Fill the lines, with the cursor on the cell that the user looks at in the present matrix."""
        self.show_all(self.palette)
        cell = self.laid.past(*self.opened.cell)
        if cell is not None:
            self.heatmap.move_to(*cell)

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self.query_one(PastPanel).laid = self.laid
        super().show_all(palette)
        self.show_state()

    def show_state(self) -> None:
        """Say which run this is, how it ended, and what of it is gone."""
        run = self._run
        parts = [
            words.exactly(run, time.time()),
            self.which_rows(),
            f"{words.cells(run)} cells",
            words.state(run),
            one_line(run.title),
        ]
        self.line("title").say(
            Content.assemble(("past run", "bold $warning"), "  ", " · ".join(filter(None, parts)))
        )
        reason, changed = words.reason(run), words.changed_since(self.laid)
        self.line("reason").say(f"{run.state}: {reason}")
        self.line("reason").display = bool(reason)
        self.line("changed").say(changed)
        self.line("changed").display = bool(changed)
        self.bar.say(self.opened.problem)

    def sentence(self, row: int, response: int, key_width: int) -> str:
        """A cell of the run in words."""
        return words.past_sentence(self.view, self.laid, row, response, key_width)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What has numbers can be written."""
        if action == "export":
            return self.view.matrix.count(CellState.SCORED) > 0
        return super().check_action(action, parameters)

    def action_export(self) -> None:
        """Ask where to write the run's matrix, under the metric that is shown."""
        session, matrix, metric = self.opened.session, self.view.matrix, self.view.metric

        def write(path: Path) -> Callable[[], None]:
            # Only here, because the first paint does not need it.
            from memscope.export import export_run

            return partial(export_run, session, matrix, metric, path)

        self.ask_where_to_write(
            "Export the past run",
            "The ending decides the format: .csv or .npz; .svg draws the screen.",
            f"{self.file_name or 'matrix'}-{self._run.began.astimezone():%Y-%m-%d-%H%M%S}.csv",
            write,
        )

    def action_next_metric(self) -> None:
        """Show the next metric, here only."""
        self.view.set_metric(self.view.next_metric())
        self.show_all(self.palette)
