"""The Textual application: opens a session, and carries what its work tells to the screens that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.errors import InputError, MemscopeError
from memscope.scoring.matrix import CellState
from memscope.session_rows import Row
from memscope.tui import following, sets, workers
from memscope.tui.commands import Commands
from memscope.tui.host import Host
from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.base import MemscopeScreen, SessionScreen
from memscope.tui.screens.branches import BranchesScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.runs import RunsScreen
from memscope.tui.screens.sessions import SessionsScreen
from memscope.tui.screens.training import TrainingScreen
from memscope.tui.screens.transcript import TranscriptScreen
from memscope.tui.theme import palette
from memscope.tui.workers import SessionWorkers

if TYPE_CHECKING:
    from memscope.open_session import Opener
    from memscope.scoring.session import Session


_GENERAL = ("quit", "help", "command_palette")
"""Actions that work everywhere."""
_SESSIONS = "sessions"
"""The mode of the list of sessions."""
_MODES: dict[str, type[SessionScreen[None]]] = {
    "matrix": MatrixScreen,
    "transcript": TranscriptScreen,
    "training": TrainingScreen,
    "runs": RunsScreen,
}
"""The modes of the open session, and the screen each begins with."""
_RECENT = 20
"""Sessions in the command palette."""


class MemscopeApp(Host):
    """Shows a session, or all sessions to choose one; with `score_at_once` scores it as soon as the model is
    open, with `auto` whatever is said while its file is followed."""

    TITLE = "memscope"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    COMMANDS: ClassVar[set[type[Commands]]] = {Commands}  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "mode('sessions')", "Sessions", id="screen.sessions", tooltip="The sessions here"),
        Binding("2", "mode('matrix')", "Matrix", id="screen.matrix", tooltip="Memories by responses"),
        Binding("3", "mode('transcript')", "Transcript", id="screen.transcript", tooltip="The conversation"),
        Binding("4", "mode('training')", "Training", id="screen.training", tooltip="What to train on"),
        Binding("5", "mode('runs')", "Runs", id="screen.runs", tooltip="Past scorings, compared"),
        Binding("question_mark", "help", "Help", id="app.help", tooltip="All keys, and how to read this"),
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave memscope; what is scored stays"),
        Binding(
            "ctrl+p",
            "command_palette",
            "Commands",
            id="app.commands",
            priority=True,
            tooltip="Everything that can be done here, and everywhere one can go",
        ),
    ]

    def __init__(
        self,
        session: Session | None = None,
        follower: Follower | None = None,
        *,
        opener: Opener | None = None,
        score_at_once: bool = False,
        auto: bool = False,
        metric_asked: bool = False,
    ) -> None:
        """`opener` opens the file that is chosen in the list of sessions; it is called in a thread. A metric
        that was `metric_asked` for stays, whatever was used last time. Raises InputError if the settings of
        the screen can't be used, or if there is no session to begin with and the list can't be made."""
        super().__init__()
        self._metric_asked = metric_asked
        self._auto = auto
        self._opened: Opened | None = None
        if session is not None:
            self._opened = self._open(session, follower, score_at_once=score_at_once)
        self._opener = opener
        self._sessions = SessionsScreen(Path.cwd()) if session is None else None
        self._exportable = False

    def on_mount(self) -> None:
        """Paint first, then open the model."""
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        if self._opened is None:
            self.action_mode(_SESSIONS)
        else:
            self._show_opened(self._opened)

    @property
    def is_open(self) -> bool:
        """Whether a session is open, and the program is not being left: news may still come then."""
        return self._opened is not None and self.is_running

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

        async def ask(session: Session, follower: Follower) -> None:
            source = session.conversation.source
            if len(source.branches) < 2:
                self._say("This conversation does not fork.")
                return

            def chosen(branch: str | None) -> None:
                if branch is not None:
                    self.open_file(path, branch)

            self.push_screen(BranchesScreen(source.branches, source.branch), chosen)

        self._read(path, None, ask)

    def show_cell(self, memory: int, response: int) -> None:
        """Show a cell of the open session in its matrix."""
        self.opened.cell = memory, response
        if self.current_mode != "matrix":
            self.switch_mode("matrix")  # whose screen looks at the session's cell when it comes back to sight
            return
        for screen in self._session_screens():
            screen.show_cell(memory, response)

    def close(self) -> None:
        """Stop whatever runs and let go of the session."""
        if self._sessions is not None:
            self._sessions.close()
        if self._opened is not None:
            self._opened.close()
            self._opened.session.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound."""
        if action != "mode":
            return action in _GENERAL or None
        if parameters[0] == self.current_mode:
            return False
        return self._opener is not None if parameters[0] == _SESSIONS else self.is_open

    def action_mode(self, mode: str) -> None:
        """Show the list of sessions, or the open session in another way."""
        if mode == _SESSIONS and self._sessions is None:
            try:
                self._sessions = SessionsScreen(Path.cwd())
            except (InputError, OSError) as error:
                self._say(str(error))
                return
        if mode == _SESSIONS and mode not in self._modes:
            sessions = self._sessions
            assert sessions is not None
            self.add_mode(mode, lambda: sessions)
        self.switch_mode(mode)

    def action_help(self) -> None:
        """Show the keys."""
        screen = self.screen
        notes = screen.notes if isinstance(screen, SessionsScreen) else self.opened.session.notes
        meaning = screen.HELP_TEXT if isinstance(screen, MemscopeScreen) else ""
        self.push_screen(HelpScreen(self.commands(screen), meaning, notes))

    async def action_quit(self) -> None:
        """Stop whatever runs and leave."""
        self.close()
        self.workers.cancel_all()
        self._keep_settings()
        await asyncio.to_thread(self.state.save)
        self.exit()

    def on_looked(self, message: following.Looked) -> None:
        """Show what the conversation has become, or keep that while paused; once nothing more comes, plan."""
        if not self.is_open or message.following is not self.opened.following:
            return
        opened, followed = self.opened, message.following
        if message.conversation is None:
            if opened.work.ready and not opened.work.busy and not opened.session.is_planned:
                opened.prepare()
                self.show_state()
        elif followed.paused:
            followed.waiting = message.conversation
        else:
            self.adopt(message.conversation)
        if message.changed:
            self.show_state()

    def on_prepared(self, message: workers.Prepared) -> None:
        """The session is ready: its matrix may be another one, filled from the store."""
        if self._is_current(message.work):
            self.opened.prepared()
            self.show_all()
            self.show_state()

    def on_rows_changed(self, message: workers.RowsChanged) -> None:
        """Draw what has changed."""
        if not self._is_current(message.work):
            return
        view = self.opened.view
        before = view.order
        view.update(message.rows)
        if self.opened.exportable and not self._exportable:
            self._exportable = True
            self.refresh_bindings()
        order_changed = not np.array_equal(before, view.order)
        for screen in self._session_screens():
            screen.show_rows(message.rows, order_changed=order_changed)
            screen.bar.wake()

    def on_scoring_ended(self, message: workers.ScoringEnded) -> None:
        """Settle the range and the order."""
        if self._is_current(message.work):
            self.opened.ended()
            self.show_all()
            self.show_state()
            self._tell_ended()

    def on_failed(self, message: workers.Failed) -> None:
        """Say in place what went wrong; everything else goes on."""
        if self._is_current(message.work):
            self.opened.sets.give_up()
            self._fail(message.sentence)

    def on_set_changed(self, message: sets.SetChanged) -> None:
        """Draw what has changed of a set."""
        if self.is_open and message.sets is self.opened.sets:
            self.opened.show_set(message.members)
            for screen in self._session_screens():
                screen.show_set(message.members)
                screen.bar.wake()

    def on_set_ended(self, message: sets.SetEnded) -> None:
        """Settle a set, or say in place what went wrong with it."""
        if self.is_open and message.sets is self.opened.sets:
            self.on_set_changed(sets.SetChanged(message.sets, message.members))
            if message.problem:
                self.opened.fail(message.problem)
            self.show_state()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error nobody foresaw is said in place too, and in Textual's log."""
        if event.state is WorkerState.ERROR and event.worker.node is self:
            error = event.worker.error
            self.log.error(error)
            self._say(f"Something went wrong inside memscope: {type(error).__name__}: {error}.")

    def adopt(self, conversation: Conversation) -> None:
        """Show the conversation as it has become; the first that has something to score opens the model."""
        opened = self.opened
        opened.adopt(conversation)
        for screen in self._session_screens():
            screen.show_conversation(palette(self))
        if all(opened.view.matrix.shape) and not opened.work.begun:
            opened.prepare()
            self.show_state()

    def show_all(self) -> None:
        """Draw everything of the open session anew."""
        colours = palette(self)
        self.opened.view.set_scale(colours.scale)
        for screen in self._session_screens():
            screen.show_all(colours)

    def show_state(self) -> None:
        """Say what the open session is doing."""
        self._exportable = self.opened.exportable
        for screen in self._session_screens():
            screen.show_state()
            screen.bar.wake()
        self.refresh_bindings()

    def recent_sessions(self) -> list[Row]:
        """Sessions that were changed last, if the list of sessions has been looked at and can open them."""
        if self._sessions is None or self._opener is None:
            return []
        return self._sessions.recent(_RECENT)

    def keep_settings(self) -> None:
        """Keep how the matrix is shown for the next start."""
        self._keep_settings()
        self.save_state()

    def _keep_settings(self) -> None:
        if self.is_open:
            self.state.keep("matrix", self.opened.view.settings)

    def _open(self, session: Session, follower: Follower | None, *, score_at_once: bool = False) -> Opened:
        """A session as it will be shown: as the one before was, or the last one of the last time."""
        opened = Opened(self, session, follower, score_at_once=score_at_once, auto=self._auto)
        view, asked = opened.view, session.metric
        view.use(self.state.restore("matrix", view.settings))
        if self._metric_asked and view.metric is not asked:
            view.set_metric(asked)
        session.metric = view.metric
        return opened

    def _tell_ended(self) -> None:
        """Notify who may not see it that scoring has ended, unless they have stopped it."""
        opened = self.opened
        away = not self.app_focus or not isinstance(self.screen, SessionScreen)
        failed = opened.view.matrix.count(CellState.FAILED)
        if not away or not opened.exportable or (opened.missing and not failed):
            return
        title = one_line(opened.session.conversation.source.title)[:60]
        if failed:
            self.tell("scoring", f"{title}: scored, but {failed:,} cells failed", severity="warning")
        else:
            self.tell("scoring", f"{title}: all cells scored")
        self.ring()

    def _show_opened(self, opened: Opened) -> None:
        """Paint first, then open the model."""
        opened.view.set_scale(palette(self).scale)
        for mode, screen in _MODES.items():
            self.add_mode(mode, partial(screen, opened))
        self.switch_mode("matrix")
        if all(opened.view.matrix.shape):
            self.call_after_refresh(self._prepare, opened)
        if opened.following is not None:
            opened.following.start()

    def _read(
        self, path: str, branch: str | None, then: Callable[[Session, Follower], Awaitable[None]]
    ) -> None:
        """Open a file in a thread, then call `then`; what goes wrong is said in place."""

        async def read() -> None:
            assert self._opener is not None
            try:
                session, follower = await asyncio.to_thread(self._opener, path, branch)
            except MemscopeError as error:
                self._say(str(error))
            else:
                await then(session, follower)

        self._say("")
        self.run_worker(read(), group="opening", exclusive=True, exit_on_error=False)

    async def _replace(self, session: Session, follower: Follower) -> None:
        """Show another session, and only that; the list of sessions is kept aside."""
        self._keep_settings()
        before, self._opened = self._opened, self._open(session, follower)
        if before is not None:
            before.close()
            self.run_worker(before.session.aclose(), exit_on_error=False)
            for mode in _MODES:
                await self.remove_mode(mode)
        self._show_opened(self._opened)

    def _say(self, sentence: str) -> None:
        """Say what went wrong, wherever the user is; an empty sentence takes that back."""
        if isinstance(self.screen, SessionsScreen):
            self.screen.show_problem(sentence)
        elif self.is_open:
            self._fail(sentence)

    def _prepare(self, opened: Opened) -> None:
        if opened is self._opened and not opened.work.begun:
            opened.prepare()
            self.show_state()

    def _fail(self, sentence: str) -> None:
        self.opened.fail(sentence)
        self.show_state()
        if sentence and not isinstance(self.screen, SessionScreen):
            self.tell("failure", sentence, severity="error")

    def _is_current(self, work: SessionWorkers) -> bool:
        """Whether work is that of the open session; news of one that was open before may come late."""
        return self.is_open and work is self.opened.work

    def _session_screens(self) -> list[SessionScreen[object]]:
        return [
            screen for screen in self.screen_stack if isinstance(screen, SessionScreen) and screen.is_composed
        ]

    def _theme_changed(self, theme: Theme) -> None:
        if self.is_open:
            self.show_all()
        if self._sessions is not None and self._sessions.is_attached:
            self._sessions.show_palette()
