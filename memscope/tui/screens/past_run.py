"""A past run as it was: its matrix in the heatmap, with panel, sentence and legend."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widgets import Footer

from memscope.scoring.matrix import ScoreMatrix
from memscope.scoring.runs import RunInfo
from memscope.tui import run_wording as words
from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.past import PastScreen
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.activity_bar import ActivityBar
from memscope.tui.widgets.legend import Legend
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.past_heatmap import PastHeatmap, PastPanel


class PastRunScreen(PastScreen):
    """One run, under the metric that it was scored with at first."""

    CSS = """
    PastRunScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #scorer { width: auto; text-align: right; color: $foreground 60%; }
        #main { height: 1fr; }
        #heatmap { width: 1fr; }
        #panel { width: 35%; min-width: 36; max-width: 64; }
        #reason { color: $error; }
        #changed { color: $warning; }
        #status { height: 2; }
    }
    PastRunScreen.-very-wide {
        #status { height: 1; layout: horizontal; }
        #sentence { width: 1fr; }
        #legend { width: 76; }
    }
    PastRunScreen.-narrow {
        #panel, #scorer { display: none; }
    }
    PastRunScreen.-short {
        #status { height: 1; }
        #legend { display: none; }
    }
    """

    def __init__(self, opened: Opened, run: RunInfo, matrix: ScoreMatrix) -> None:
        super().__init__(opened, matrix, MatrixView(opened.session.conversation, matrix, run.metric))
        self._run = run

    def compose(self) -> ComposeResult:
        """As the present matrix is shown, but for the title."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line(words.scorer(self._run), id="scorer")
        with Horizontal(id="main"):
            yield PastHeatmap(self.past, self.palette, id="heatmap")
            yield PastPanel(self.past, self.laid, self.palette, id="panel")
        yield Line(id="reason")
        yield Line(id="changed")
        with Container(id="status"):
            yield Line(id="sentence")
            yield Legend(self.past, self.palette, id="legend")
        yield ActivityBar(self.opened.session.activities, lambda: self.opened.work.busy)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Fill the lines, with the cursor on the cell that the user looks at in the present matrix."""
        self.show_all(self.palette)
        cell = self.laid.past(*self.opened.cell)
        if cell is not None:
            self.heatmap.move_to(*cell)
        self.show_state()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        panel = self.query_one(PastPanel)
        panel.laid, panel.palette = self.laid, palette
        reason, changed = words.reason(self._run), words.changed_since(self.laid)
        self.line("reason").say(f"{self._run.state}: {reason}")
        self.line("reason").display = bool(reason)
        self.line("changed").say(changed)
        self.line("changed").display = bool(changed)
        self._show_title()
        super().show_all(palette)

    def follow_cursor(self) -> None:
        """The panel and the sentence."""
        memory, response = self.heatmap.memory, self.heatmap.response
        if all(self.past.matrix.shape):
            self.line("sentence").say(
                words.past_sentence(self.past, self.laid, memory, response, self.key_width)
            )
            self.query_one(PastPanel).follow(memory, response)

    def action_next_metric(self) -> None:
        """Show the next metric, here only."""
        self.past.set_metric(self.past.next_metric())
        self.show_all(self.palette)

    def _show_title(self) -> None:
        run = self._run
        parts = [
            f"{words.when(run)}, {words.ago(run, time.time())}",
            f"{words.cells(run)} cells",
            words.state(run),
            one_line(run.title),
        ]
        self.line("title").say(Content.assemble(("past run", "bold $warning"), "  ", " · ".join(parts)))
