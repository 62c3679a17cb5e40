"""The Textual application: one session, its matrix and its responses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from memscope.scoring.matrix import CellState
from memscope.tui import workers
from memscope.tui.safe import one_line
from memscope.tui.screens.base import SessionScreen
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.theme import DARK, LIGHT, palette
from memscope.tui.view import MatrixView
from memscope.tui.workers import SessionWorkers

if TYPE_CHECKING:
    from memscope.scoring.session import Session


class MemscopeApp(App[None]):
    """Shows a session; with `score_at_once` scores it as soon as the model is open."""

    TITLE = "memscope"
    CSS = """
    Screen { background: $background; }
    Footer { background: $surface; }
    * {
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $foreground 20%;
        scrollbar-color-hover: $foreground 40%;
        scrollbar-color-active: $primary;
        scrollbar-corner-color: $background;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "score", "Score", id="session.score", tooltip="Score what is missing"),
        Binding("R", "score_again", "Rescore", id="session.score_again", tooltip="Score everything again"),
        Binding("x", "stop", "Stop", id="session.stop", tooltip="Stop scoring; what is done stays"),
        Binding("m", "next_metric", "Metric", id="session.metric", tooltip="Signed, clamped, token-clamped"),
        Binding("e", "export", "Export", id="session.export", tooltip="Write the matrix to a file"),
        Binding(
            "d,escape",
            "dismiss_failures",
            "Dismiss",
            id="session.dismiss",
            tooltip="Let go of the failures shown",
        ),
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave memscope; what is scored stays"),
    ]

    def __init__(self, session: Session, *, score_at_once: bool) -> None:
        super().__init__()
        self.session = session
        self.view = MatrixView(session.conversation, session.matrix, session.metric)
        self.work = SessionWorkers(self, session)
        self.problem = ""
        """What went wrong last, one printable sentence; empty if nothing did."""
        self._score_at_once = score_at_once
        self._exportable = False
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def on_mount(self) -> None:
        """Paint first, then open the model."""
        colours = palette(self)
        self.view.set_scale(colours.scale)
        screen = MatrixScreen(self.view, colours, lambda: self.work.busy)
        self.push_screen(screen)
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        if all(self.view.matrix.shape):
            self.call_after_refresh(self._prepare)

    @property
    def missing(self) -> int:
        """Cells that could be scored and are not."""
        states = self.view.matrix.states
        return int(np.isin(states, (CellState.PENDING, CellState.RUNNING, CellState.FAILED)).sum())

    @property
    def cost(self) -> str:
        """What scoring everything takes, once it is known, and what it would take without any reuse."""
        cost = self.session.cost
        if cost is None:
            return ""
        naive = f" ({cost.tokens_naive:,} naive)" if cost.tokens_needed < cost.tokens_naive else ""
        return f"{cost.tokens_needed:,} tokens{naive}"

    @property
    def idle(self) -> str:
        """What the activity bar says while nothing goes on."""
        if not self.work.ready:
            return "r tries again" if self.problem else ""
        cells = f"{self.missing:,} cell{'' if self.missing == 1 else 's'}"
        return (
            f"r scores {cells}: {self.work.tokens_missing:,} tokens" if self.missing else "all cells scored"
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound."""
        ready, scoring = self.work.ready, self.work.scoring
        match action:
            case "score":
                return not scoring and self.missing > 0
            case "score_again":
                return ready and bool((self.view.matrix.states != CellState.IMPOSSIBLE).any())
            case "stop":
                return scoring
            case "next_metric":
                return all(self.view.matrix.shape)
            case "export":
                return self.view.matrix.count(CellState.SCORED) > 0
            case "dismiss_failures":
                return any(screen.bar.failures for screen in self._session_screens())
        return True

    def action_score(self) -> None:
        """Score what is missing, once the model is open; if it could not be opened, try that again."""
        if self.work.ready:
            self._score(fresh=False)
        elif self.work.busy:
            self._score_at_once = True
            self._notify("scoring begins when the model is open")
        else:
            self._prepare()

    def action_score_again(self) -> None:
        """Score everything again."""
        self._score(fresh=True)

    def action_stop(self) -> None:
        """Stop scoring."""
        self.work.stop()

    def action_next_metric(self) -> None:
        """Show the next metric; an export follows it."""
        self.view.set_metric(self.view.next_metric())
        self.session.metric = self.view.metric
        self._show_all()

    def action_export(self) -> None:
        """Ask where to write the matrix."""
        name = re.sub(r"[^\w.-]+", "-", self.session.conversation.source.title).strip("-.") or "matrix"
        self.push_screen(ExportScreen(Path(f"{name[:60]}.json")), self._exported)

    def action_dismiss_failures(self) -> None:
        """Let go of the failures shown."""
        for screen in self._session_screens():
            screen.bar.dismiss()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(HelpScreen(self.screen, self.session.notes))

    async def action_quit(self) -> None:
        """Stop whatever runs and leave."""
        self.workers.cancel_all()
        self.exit()

    def on_prepared(self) -> None:
        """The session is ready: its matrix may be another one, filled from the store."""
        self.view.adopt(self.session.conversation, self.session.matrix)
        self._show_all()
        self._show_state()
        if self._score_at_once and self.missing:
            self._score(fresh=False)

    def on_rows_changed(self, message: workers.RowsChanged) -> None:
        """Draw what has changed."""
        before = self.view.order
        self.view.update(message.rows)
        if self.check_action("export", ()) and not self._exportable:
            self._exportable = True
            self.refresh_bindings()
        order_changed = not np.array_equal(before, self.view.order)
        for screen in self._session_screens():
            screen.show_rows(message.rows, order_changed=order_changed)
            screen.bar.wake()

    def on_scoring_ended(self) -> None:
        """Settle the range and the order."""
        self.view.recompute()
        self._show_all()
        self._show_state()

    def on_failed(self, message: workers.Failed) -> None:
        """Say in place what went wrong; everything else goes on."""
        self._fail(message.sentence)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error nobody foresaw is said in place too, and in Textual's log."""
        if event.state is WorkerState.ERROR and event.worker.node is self:
            error = event.worker.error
            self.log.error(error)
            self._fail(f"Something went wrong inside memscope: {type(error).__name__}: {error}.")

    def _prepare(self) -> None:
        self.problem = ""
        self.work.prepare()
        self._show_state()

    def _score(self, *, fresh: bool) -> None:
        self.problem = ""
        self.work.score(fresh=fresh)
        self._show_state()

    def _fail(self, sentence: str) -> None:
        again = " Press r to try again." if not self.work.ready else ""
        self.problem = one_line(sentence) + again
        self._show_state()

    def _show_all(self) -> None:
        colours = palette(self)
        self.view.set_scale(colours.scale)
        for screen in self._session_screens():
            screen.show_all(colours)

    def _show_state(self) -> None:
        self._exportable = bool(self.check_action("export", ()))
        for screen in self._session_screens():
            screen.show_state()
            screen.bar.wake()
        self.refresh_bindings()

    def _session_screens(self) -> list[SessionScreen[object]]:
        return [screen for screen in self.screen_stack if isinstance(screen, SessionScreen)]

    def _theme_changed(self, theme: Theme) -> None:
        self._show_all()

    def _exported(self, path: Path | None) -> None:
        if path is not None:
            self._notify(f"wrote {path}")

    def _notify(self, text: str) -> None:
        self.session.activities.notify(text)
        for screen in self._session_screens():
            screen.bar.wake()
