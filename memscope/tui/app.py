"""The Textual application: opens a session, and carries what its work tells to the screens that show it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.scoring.matrix import CellState
from memscope.tui import following, workers
from memscope.tui.opened import Opened
from memscope.tui.screens.base import SessionScreen
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.theme import DARK, LIGHT, palette

if TYPE_CHECKING:
    from memscope.scoring.session import Session


class MemscopeApp(App[None]):
    """Shows a session; with `score_at_once` scores it as soon as the model is open, with `auto` whatever is
    said while its file is followed."""

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
        Binding("f", "follow", "Follow", id="session.follow", tooltip="Pause or go on following the file"),
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

    def __init__(
        self,
        session: Session,
        follower: Follower | None = None,
        *,
        score_at_once: bool = False,
        auto: bool = False,
    ) -> None:
        super().__init__()
        self.opened = Opened(self, session, follower)
        self._score_at_once = score_at_once
        self._auto = auto
        self._exportable = False
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def on_mount(self) -> None:
        """Paint first, then open the model."""
        opened, colours = self.opened, palette(self)
        opened.view.set_scale(colours.scale)
        self.push_screen(MatrixScreen(opened.view, colours, lambda: opened.work.busy))
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        if all(opened.view.matrix.shape):
            self.call_after_refresh(self._prepare)
        if opened.following is not None:
            opened.following.start()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound."""
        opened, matrix = self.opened, self.opened.view.matrix
        ready, scoring = opened.work.ready, opened.work.scoring
        match action:
            case "score":
                return not scoring and opened.missing > 0
            case "score_again":
                return ready and bool((matrix.states != CellState.IMPOSSIBLE).any())
            case "stop":
                return scoring
            case "follow":
                return opened.following is not None
            case "next_metric":
                return all(matrix.shape)
            case "export":
                return matrix.count(CellState.SCORED) > 0
            case "dismiss_failures":
                return any(screen.bar.failures for screen in self._session_screens())
        return True

    def action_score(self) -> None:
        """Score what is missing, once the model is open; if it could not be opened, try that again."""
        if self.opened.work.ready:
            self._score(fresh=False)
        elif self.opened.work.busy:
            self._score_at_once = True
            self._notify("scoring begins when the model is open")
        else:
            self._prepare()

    def action_score_again(self) -> None:
        """Score everything again."""
        self._score(fresh=True)

    def action_stop(self) -> None:
        """Stop scoring."""
        self.opened.work.stop()

    def action_follow(self) -> None:
        """Pause following, or go on and show what came meanwhile."""
        following = self.opened.following
        if following is not None:
            following.paused = not following.paused
            if not following.paused and following.waiting is not None:
                self._adopt(following.waiting)
            self._show_state()

    def action_next_metric(self) -> None:
        """Show the next metric; an export follows it."""
        view = self.opened.view
        view.set_metric(view.next_metric())
        self.opened.session.metric = view.metric
        self._show_all()

    def action_export(self) -> None:
        """Ask where to write the matrix."""
        name = re.sub(r"[^\w.-]+", "-", self.opened.session.conversation.source.title).strip("-.") or "matrix"
        self.push_screen(ExportScreen(Path(f"{name[:60]}.json")), self._exported)

    def action_dismiss_failures(self) -> None:
        """Let go of the failures shown."""
        for screen in self._session_screens():
            screen.bar.dismiss()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(HelpScreen(self.screen, self.opened.session.notes))

    async def action_quit(self) -> None:
        """Stop whatever runs and leave."""
        self.opened.close()
        self.workers.cancel_all()
        self.exit()

    def on_looked(self, message: following.Looked) -> None:
        """Show what the conversation has become, or keep that while paused; once nothing more comes, plan."""
        opened, followed = self.opened, message.following
        if followed is not opened.following:
            return
        if message.conversation is None:
            if opened.work.ready and not opened.work.busy and not opened.session.is_planned:
                self._prepare()
        elif followed.paused:
            followed.waiting = message.conversation
        else:
            self._adopt(message.conversation)
        self._show_state()

    def on_prepared(self, message: workers.Prepared) -> None:
        """The session is ready: its matrix may be another one, filled from the store."""
        if message.work is self.opened.work:
            self.opened.show_matrix()
            self._show_all()
            self._show_state()
            if self._score_at_once and self.opened.missing:
                self._score(fresh=False)
            elif self._auto and self.opened.missing_of_new:
                self._score(fresh=False, since=self.opened.first_new)

    def on_rows_changed(self, message: workers.RowsChanged) -> None:
        """Draw what has changed."""
        if message.work is not self.opened.work:
            return
        view = self.opened.view
        before = view.order
        view.update(message.rows)
        if self.check_action("export", ()) and not self._exportable:
            self._exportable = True
            self.refresh_bindings()
        order_changed = not np.array_equal(before, view.order)
        for screen in self._session_screens():
            screen.show_rows(message.rows, order_changed=order_changed)
            screen.bar.wake()

    def on_scoring_ended(self, message: workers.ScoringEnded) -> None:
        """Settle the range and the order."""
        if message.work is self.opened.work:
            self.opened.show_matrix()
            self._show_all()
            self._show_state()

    def on_failed(self, message: workers.Failed) -> None:
        """Say in place what went wrong; everything else goes on."""
        if message.work is self.opened.work:
            self._fail(message.sentence)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error nobody foresaw is said in place too, and in Textual's log."""
        if event.state is WorkerState.ERROR and event.worker.node is self:
            error = event.worker.error
            self.log.error(error)
            self._fail(f"Something went wrong inside memscope: {type(error).__name__}: {error}.")

    def _prepare(self) -> None:
        self.opened.fail("")
        self.opened.work.prepare()
        self._show_state()

    def _score(self, *, fresh: bool, since: int = 0) -> None:
        self.opened.fail("")
        self.opened.work.score(fresh=fresh, since=since)
        self._show_state()

    def _adopt(self, conversation: Conversation) -> None:
        """Show the conversation as it has become; the first that has something to score opens the model."""
        opened = self.opened
        opened.adopt(conversation)
        for screen in self._session_screens():
            screen.show_conversation(palette(self))
        if all(opened.view.matrix.shape) and not opened.work.begun:
            self._prepare()

    def _fail(self, sentence: str) -> None:
        self.opened.fail(sentence)
        self._show_state()

    def _show_all(self) -> None:
        colours = palette(self)
        self.opened.view.set_scale(colours.scale)
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
        self.opened.session.activities.notify(text)
        for screen in self._session_screens():
            screen.bar.wake()
