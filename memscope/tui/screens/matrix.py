"""The Matrix screen: the heatmap, a panel and a sentence that follow its cursor, a legend, activities."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from memscope.scoring.matrix import ScoreMatrix
from memscope.tui.safe import one_line
from memscope.tui.screens.fidelity import FidelityScreen
from memscope.tui.screens.heatmap import HeatmapScreen
from memscope.tui.screens.response import ResponseScreen
from memscope.tui.theme import Palette
from memscope.tui.view import Members
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.legend import Legend
from memscope.tui.widgets.line import Line
from memscope.tui.wording import emptiness
from memscope.tui.workers import Choice


class MatrixScreen(HeatmapScreen):
    """Walk through the heatmap; Enter opens the response under the cursor."""

    CSS = """
    MatrixScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #cost { width: auto; text-align: right; color: $foreground 60%; }
        #follow { width: auto; color: $success; text-style: bold; }
        #follow.-paused { color: $warning; }
        #empty { height: 1fr; padding: 1 2; }
        #notes { color: $warning; }
        #problem { height: auto; max-height: 6; padding: 0 1; color: $error; }
    }
    MatrixScreen.-narrow {
        #cost { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space",
            "mark",
            "Mark",
            id="matrix.mark",
            show=False,
            tooltip="Mark this memory to leave out several",
        ),
        Binding(
            "o",
            "leave_out",
            "Together",
            id="matrix.leave_out",
            tooltip="Score the marked memories left out together, in a row of their own",
        ),
        Binding(
            "i",
            "fidelity",
            "Fidelity",
            id="matrix.fidelity",
            show=False,
            tooltip="How far this matrix can be trusted: LDS, top-k drop, redundancy",
        ),
        Binding(
            "w", "score_row", "Row", id="matrix.score_row", show=False, tooltip="Score this memory again"
        ),
        Binding(
            "c",
            "score_column",
            "Column",
            id="matrix.score_column",
            show=False,
            tooltip="Score this response again",
        ),
    ]

    def compose(self) -> ComposeResult:
        """Everything that the first paint shows."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line(id="cost")
            yield Line(id="follow")
        with VerticalScroll(id="empty", can_focus=False):
            yield Static(id="emptiness", markup=False)
        yield from self.compose_heatmap()
        yield Line(id="notes")
        yield Static(id="problem", markup=False)
        yield self.activity_bar()
        yield KeyBar()

    def on_mount(self) -> None:
        """Fill the lines."""
        self._show_emptiness()
        self.show_state()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        super().show_all(palette)
        self._show_emptiness()

    def show_state(self) -> None:
        """Say which conversation and scorer this is, what scoring costs, and what went wrong."""
        opened = self.opened
        memories, responses = self.view.matrix.shape
        parts = [
            one_line(opened.session.conversation.source.title),
            f"{self.which_rows() or f'{memories:,} memories'} x {responses:,} responses",
            one_line(opened.session.scorer_label),
            "by proxy" if opened.session.proxy_for else "",
            "reconstructed" if opened.session.missing_context else "",
        ]
        self.line("title").say(
            Content.assemble(("memscope", "bold $primary"), "  ", " · ".join(filter(None, parts)))
        )
        self.line("cost").say(opened.cost)
        self.line("follow").say(opened.follow_state)
        self.line("follow").display = opened.following is not None
        self.line("follow").set_class(opened.follow_state.startswith("PAUSED"), "-paused")
        notes = opened.session.notes
        more = f" ({len(notes)} notes: {self.memscope.key('app.help')} shows all)" if len(notes) > 1 else ""
        self.line("notes").display = bool(notes)
        self.line("notes").say(one_line(notes[0]) + more if notes else "")
        problem = self.query_one("#problem", Static)
        problem.display = bool(opened.problem)
        problem.update(Content(opened.problem))
        self.bar.say(opened.idle)
        self.follow()

    def follow(self) -> None:
        """The cell under the cursor is that of the session."""
        super().follow()
        if all(self.view.matrix.shape):
            self.opened.cell = self._cell

    def show_set(self, members: Members) -> None:
        """Draw the set's row, which may have come or gone."""
        self.heatmap.show_rows((), order_changed=True)
        self.query_one(Legend).rebuild()
        self.follow()

    def show_cell(self, memory: int, response: int) -> None:
        """Put the cursor on it, unless that is already there: on the memory or on a set with it."""
        if all(self.view.matrix.shape) and (memory, response) != self._cell:
            self.heatmap.move_to(memory, response)

    def on_heatmap_opened(self) -> None:
        """Open the response under the cursor."""
        self.app.push_screen(ResponseScreen(self.opened))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to mark without cells, nothing to score before the model is open."""
        if f"action_{action}" in MatrixScreen.__dict__:
            if action == "leave_out" and len(self.view.marked_memories) < 2:
                return False
            if action == "fidelity" and not (self.opened.exportable and not self.opened.work.scoring):
                return False
            ready = self.opened.work.ready or action == "mark"
            return ready and self.heatmap.check_action(action, ())
        return super().check_action(action, parameters)

    def action_mark(self) -> None:
        """Mark the memory, or no longer, and go on to the next; on a set, let go of it."""
        if self.view.is_set(self.heatmap.memory):
            self._arrange(lambda: self.opened.forget_together(self.view.members(self.heatmap.memory)))
            self.follow()
        else:
            self.view.mark(self.heatmap.memory)
            self.heatmap.show_rows((self.heatmap.memory,), order_changed=False)
            self.heatmap.action_move(1, 0)
            self.refresh_bindings()

    def action_leave_out(self) -> None:
        """Score the marked memories left out together; two with the same fact hide each other."""
        members = self.view.marked_memories
        for memory in members:
            self.view.mark(memory)
        self._arrange(lambda: self.opened.leave_out_together(members))
        self.heatmap.move_to(int(self.view.order[len(self.view.sets) - 1]), self.heatmap.response)
        self.memscope.show_state()

    def action_fidelity(self) -> None:
        """Show how far the matrix can be trusted, or what finding that out costs."""
        self.app.push_screen(FidelityScreen(self.opened))

    def action_score_row(self) -> None:
        """Score the row's memory again, or the set."""
        members = self.view.members(self.heatmap.memory)
        if self.view.is_set(self.heatmap.memory):
            self.opened.sets.score(members, fresh=True)
            self.memscope.show_state()
            return

        def cells(matrix: ScoreMatrix) -> NDArray[np.bool_]:
            chosen = np.zeros(matrix.shape, np.bool_)
            chosen[list(members)] = True
            return chosen

        self._score_only(cells)

    def action_score_column(self) -> None:
        """Score the column's response again."""
        response = self.heatmap.response

        def cells(matrix: ScoreMatrix) -> NDArray[np.bool_]:
            chosen = np.zeros(matrix.shape, np.bool_)
            chosen[:, response] = True
            return chosen

        self._score_only(cells)

    def _score_only(self, cells: Choice) -> None:
        self.opened.score(fresh=True, only=cells)
        self.memscope.show_state()

    @property
    def _cell(self) -> tuple[int, int]:
        return self.view.members(self.heatmap.memory)[0], self.heatmap.response

    def _show_emptiness(self) -> None:
        said = emptiness(self.view)
        empty, page = bool(said), self.query_one("#empty")
        self.query_one("#emptiness", Static).update(Content(said))
        page.display = page.can_focus = empty
        self.query_one("#main").display = not empty
        if empty:
            page.focus()
        elif self.focused in (None, page):
            self.heatmap.focus()
        self.query_one("#status").display = not empty
