"""The Textual application: opens a session, and carries what its work tells to the screens that show it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.errors import InputError, MemscopeError
from memscope.scoring.matrix import CellState
from memscope.tui import following, workers
from memscope.tui.opened import Opened
from memscope.tui.screens.base import SessionScreen
from memscope.tui.screens.branches import BranchesScreen
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.sessions import SessionsScreen
from memscope.tui.theme import DARK, LIGHT, palette
from memscope.tui.workers import SessionWorkers

if TYPE_CHECKING:
    from memscope.open_session import Opener
    from memscope.scoring.session import Session


_GENERAL = ("quit", "help", "command_palette", "change_theme")
"""Actions that work everywhere."""


class MemscopeApp(App[None]):
    """Shows a session, or all sessions to choose one; with `score_at_once` scores it as soon as the model is
    open, with `auto` whatever is said while its file is followed."""

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
        Binding("1", "sessions", "Sessions", id="screen.sessions", tooltip="The sessions on this machine"),
        Binding("2", "matrix", "Matrix", id="screen.matrix", tooltip="The matrix of the open session"),
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
        session: Session | None = None,
        follower: Follower | None = None,
        *,
        opener: Opener | None = None,
        score_at_once: bool = False,
        auto: bool = False,
    ) -> None:
        """`opener` opens the file that is chosen in the list of sessions; it is called in a thread. Raises
        InputError if there is no session to begin with and the list can't be made."""
        super().__init__()
        self._opened = None if session is None else Opened(self, session, follower)
        self._opener = opener
        self._sessions = SessionsScreen(Path.cwd()) if session is None else None
        self._score_at_once = score_at_once
        self._auto = auto
        self._exportable = False
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def on_mount(self) -> None:
        """Paint first, then open the model."""
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        if self._opened is None:
            self.action_sessions()
        else:
            self._show_opened(self._opened)

    @property
    def is_open(self) -> bool:
        """Whether a session is open."""
        return self._opened is not None

    @property
    def opened(self) -> Opened:
        """The open session."""
        assert self._opened is not None
        return self._opened

    def open_file(self, path: str, branch: str | None) -> None:
        """Open another session in place of the one that is open, of which what was scored stays."""
        self._read(path, branch, self._replace)

    def choose_branch(self, path: str) -> None:
        """Ask which branch of a file to open, if it forks, and open that."""

        def ask(session: Session, follower: Follower) -> None:
            source = session.conversation.source
            if len(source.branches) < 2:
                self._say("This conversation does not fork.")
                return

            def chosen(branch: str | None) -> None:
                if branch is not None:
                    self.open_file(path, branch)

            self.push_screen(BranchesScreen(source.branches, source.branch), chosen)

        self._read(path, None, ask)

    def close(self) -> None:
        """Stop whatever runs and let go of the session."""
        if self._sessions is not None:
            self._sessions.close()
        if self._opened is not None:
            self._opened.close()
            self._opened.session.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound."""
        if action in _GENERAL:
            return True
        if action == "sessions":
            return self._opener is not None and self._sessions not in self.screen_stack
        if action == "matrix":
            return isinstance(self.screen, SessionsScreen) and self.is_open
        if not self.is_open or not isinstance(self.screen, SessionScreen):
            return False
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

    def action_sessions(self) -> None:
        """Show the sessions on this machine."""
        if self._sessions is None:
            try:
                self._sessions = SessionsScreen(Path.cwd())
            except (InputError, OSError) as error:
                self._say(str(error))
                return
        if not self.is_screen_installed(self._sessions):
            self.install_screen(self._sessions, "sessions")
        self.push_screen(self._sessions)

    def action_matrix(self) -> None:
        """Back from the list to the matrix of the open session."""
        if isinstance(self.screen, SessionsScreen) and self.is_open:
            self.pop_screen()

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
        sessions = isinstance(self.screen, SessionsScreen)
        notes = self.screen.notes if isinstance(self.screen, SessionsScreen) else self.opened.session.notes
        self.push_screen(HelpScreen(self.screen, notes, reading=not sessions))

    async def action_quit(self) -> None:
        """Stop whatever runs and leave."""
        self.close()
        self.workers.cancel_all()
        self.exit()

    def on_looked(self, message: following.Looked) -> None:
        """Show what the conversation has become, or keep that while paused; once nothing more comes, plan."""
        if not self.is_open or message.following is not self.opened.following:
            return
        opened, followed = self.opened, message.following
        if message.conversation is None:
            if opened.work.ready and not opened.work.busy and not opened.session.is_planned:
                self._prepare()
        elif followed.paused:
            followed.waiting = message.conversation
        else:
            self._adopt(message.conversation)
        if message.changed:
            self._show_state()

    def on_prepared(self, message: workers.Prepared) -> None:
        """The session is ready: its matrix may be another one, filled from the store."""
        if self._is_current(message.work):
            self.opened.show_matrix()
            self._show_all()
            self._show_state()
            if self._score_at_once and self.opened.missing:
                self._score_at_once = False
                self._score(fresh=False)
            elif self._auto and self.opened.missing_of_new:
                self._score(fresh=False, since=self.opened.first_new)

    def on_rows_changed(self, message: workers.RowsChanged) -> None:
        """Draw what has changed."""
        if not self._is_current(message.work):
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
        if self._is_current(message.work):
            self.opened.show_matrix()
            self._show_all()
            self._show_state()

    def on_failed(self, message: workers.Failed) -> None:
        """Say in place what went wrong; everything else goes on."""
        if self._is_current(message.work):
            self._fail(message.sentence)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error nobody foresaw is said in place too, and in Textual's log."""
        if event.state is WorkerState.ERROR and event.worker.node is self:
            error = event.worker.error
            self.log.error(error)
            self._say(f"Something went wrong inside memscope: {type(error).__name__}: {error}.")

    def _show_opened(self, opened: Opened) -> None:
        """Paint first, then open the model."""
        colours = palette(self)
        opened.view.set_scale(colours.scale)
        self.push_screen(MatrixScreen(opened.view, colours, lambda: opened.work.busy))
        if all(opened.view.matrix.shape):
            self.call_after_refresh(self._prepare)
        if opened.following is not None:
            opened.following.start()

    def _read(self, path: str, branch: str | None, then: Callable[[Session, Follower], None]) -> None:
        """Open a file in a thread, then call `then`; what goes wrong is said in place."""

        async def read() -> None:
            assert self._opener is not None
            try:
                session, follower = await asyncio.to_thread(self._opener, path, branch)
            except MemscopeError as error:
                self._say(str(error))
            else:
                then(session, follower)

        self._say("")
        self.run_worker(read(), group="opening", exclusive=True, exit_on_error=False)

    def _replace(self, session: Session, follower: Follower) -> None:
        """Show another session, and only that; the list of sessions is kept aside."""
        before, self._opened = self._opened, Opened(self, session, follower)
        if before is not None:
            before.close()
            self.run_worker(before.session.aclose(), exit_on_error=False)
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._show_opened(self._opened)

    def _say(self, sentence: str) -> None:
        """Say what went wrong, wherever the user is; an empty sentence takes that back."""
        if isinstance(self.screen, SessionsScreen):
            self.screen.show_problem(sentence)
        elif self.is_open:
            self._fail(sentence)

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

    def _is_current(self, work: SessionWorkers) -> bool:
        """Whether work is that of the open session; news of one that was open before may come late."""
        return self._opened is not None and work is self._opened.work

    def _session_screens(self) -> list[SessionScreen[object]]:
        return [
            screen for screen in self.screen_stack if isinstance(screen, SessionScreen) and screen.is_composed
        ]

    def _theme_changed(self, theme: Theme) -> None:
        if self.is_open:
            self._show_all()
        if self._sessions is not None and self._sessions.is_attached:
            self._sessions.show_palette()

    def _exported(self, path: Path | None) -> None:
        if path is not None:
            self._notify(f"wrote {path}")

    def _notify(self, text: str) -> None:
        self.opened.session.activities.notify(text)
        for screen in self._session_screens():
            screen.bar.wake()
