"""The Runs screen: every scoring of the open session; opened as it was, compared with another, deleted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from memscope.errors import InputError
from memscope.tui import run_wording as words
from memscope.tui.opened import Opened
from memscope.tui.past_runs import PastRuns
from memscope.tui.safe import one_line
from memscope.tui.screens.base import Copied, SessionScreen
from memscope.tui.screens.compare import CompareScreen
from memscope.tui.screens.past_run import PastRunScreen
from memscope.tui.theme import Palette
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.run_list import RunList
from memscope.tui.wording import READ_RUNS
from memscope.wording import counted

_TICK = 20.0
"""Seconds between two looks at the clock."""


class RunsScreen(SessionScreen[None]):
    """Newest first; the list is read again whenever a scoring ends."""

    CSS = """
    RunsScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #list { height: 1fr; }
        #empty { height: 1fr; padding: 1 2; }
        #said { color: $warning; }
        #facts {
            height: auto;
            max-height: 6;
            padding: 0 1;
            border-top: solid $panel;
            color: $foreground 75%;
        }
        #reason { height: auto; max-height: 4; padding: 0 1; color: $error; }
    }
    RunsScreen.-short {
        #facts { max-height: 4; }
        #reason { max-height: 1; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_RUNS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "c",
            "compare",
            "Compare",
            id="runs.compare",
            tooltip="Compare with the marked run, or with the one before",
        ),
        Binding(
            "D,delete", "delete", "Delete", id="runs.delete", tooltip="Delete the run, at a second press"
        ),
        Binding(
            "escape",
            "let_go",
            "Let go",
            id="runs.let_go",
            show=False,
            tooltip="Delete nothing, mark nothing, dismiss failures",
        ),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._past = PastRuns()
        self._loaded = False
        self._problem = ""

    def compose(self) -> ComposeResult:
        """The list, and everything of the run under the cursor."""
        with Horizontal(id="head"):
            yield Line(id="title")
        with VerticalScroll(id="empty", can_focus=False):
            yield Static(id="emptiness", markup=False)
        yield RunList(self.palette, id="list")
        yield Line(id="said")
        yield Static(id="facts", markup=False)
        yield Static(id="reason", markup=False)
        yield self.activity_bar()
        yield KeyBar()

    def on_mount(self) -> None:
        """Paint, then ask for the runs."""
        self.set_interval(_TICK, self._tick)
        self.show_state()
        self._show()
        self._reload()

    def on_unmount(self) -> None:
        """Close the file."""
        self._past.close()

    def show_all(self, palette: Palette) -> None:
        """A scoring may have ended: read the list again."""
        self._list.palette = palette
        self._list.refresh()
        self._reload()

    def show_state(self) -> None:
        """Say what can be done when nothing is going on, or what went wrong."""
        self.bar.say(self.opened.problem or self.opened.idle)

    def on_row_list_moved(self) -> None:
        """Tell of another run; a press that was to be confirmed is forgotten."""
        self._list.doomed = None
        self._problem = ""
        self._show()

    def on_row_list_chosen(self) -> None:
        """Open the run under the cursor as it was."""
        run = self._list.item

        async def show() -> None:
            if run is not None:
                matrix = await self._past.matrix(run)
                if self.is_current:
                    await self.app.push_screen(PastRunScreen(self.opened, run, matrix))

        self._ask(show)

    @property
    def can_copy(self) -> bool:
        """Whether there is a run under the cursor."""
        return self.is_composed and self._list.item is not None

    def copied(self) -> Copied | None:
        """All that is known of the run under the cursor."""
        run = self._list.item
        if run is None:
            return None
        said = "\n".join(filter(None, [words.facts(run, time.time()), words.reason(run)]))
        return "the run", lambda: said

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now; no matrix is in sight."""
        if action in ("export", "next_metric"):
            return False
        if not self.is_composed:
            return super().check_action(action, parameters)
        match action:
            case "compare":
                return self._list.pair is not None
            case "delete":
                return self._list.item is not None
            case "let_go":
                marked = self._list.marked is not None or self._list.doomed is not None
                return marked or self.bar.failures
        return super().check_action(action, parameters)

    def action_compare(self) -> None:
        """Compare the run under the cursor with the marked one, or with the one before."""
        pair = self._list.pair

        async def show() -> None:
            if pair is not None:
                compared = await self._past.compared(*pair)
                if self.is_current:
                    await self.app.push_screen(CompareScreen(self.opened, compared))

        self._ask(show)

    def action_delete(self) -> None:
        """Delete the run under the cursor, if this is the second press."""
        run = self._list.item
        if run is None:
            return
        if self._list.doomed != run.id:
            self._list.doomed = run.id
            self._list.refresh()
            self._show()
            return

        async def delete() -> None:
            problem = await self._past.delete(run)
            await self._load()
            self._problem = self._problem or problem
            self._show()

        self._ask(delete)

    def action_let_go(self) -> None:
        """Delete nothing; then mark nothing; then let go of failures."""
        if self._list.doomed is None and self._list.marked is None:
            self.bar.dismiss()
        self._list.let_go()
        self._show()

    @property
    def _list(self) -> RunList:
        return self.query_one(RunList)

    def _reload(self) -> None:
        self._ask(self._load, "list of runs")

    def _ask(self, question: Callable[[], Awaitable[None]], group: str = "runs") -> None:
        """Ask the runs something; of a group only the newest question counts."""

        async def ask() -> None:
            try:
                await question()
            except InputError as error:
                self._problem = str(error)
                self._show()

        self.app.run_worker(ask(), group=group, exclusive=True, exit_on_error=False)

    async def _load(self) -> None:
        runs, problem = await self._past.of(self.opened.session.conversation.source)
        if self.is_attached:
            self._loaded, self._problem = True, problem
            self._list.show_runs(runs)
            self._show()

    def _tick(self) -> None:
        self._list.now = time.time()
        self._list.refresh()

    def _show(self) -> None:
        if not self.is_attached:
            return
        runs, run = self._list.runs, self._list.item
        count = f"{counted(len(runs), 'run')}, newest first" if self._loaded else "runs"
        title = one_line(self.opened.session.conversation.source.title)
        self.line("title").say(Content.assemble(("memscope", "bold $primary"), f"  {title} · {count}"))
        empty = self._loaded and not runs
        self.query_one("#empty").display = empty
        self._list.display = not empty
        self.query_one("#emptiness", Static).update(Content(self._emptiness()))
        said = one_line(self._problem) or self._confirmation()
        self.line("said").display = bool(said)
        self.line("said").say(said)
        facts = self.query_one("#facts", Static)
        facts.display = run is not None
        facts.update(Content("" if run is None else words.facts(run, self._list.now)))
        reason = "" if run is None else words.reason(run)
        self.query_one("#reason", Static).display = bool(reason)
        self.query_one("#reason", Static).update(Content(reason))
        if not empty and self.focused is None:
            self._list.focus()
        self.refresh_bindings()

    def _confirmation(self) -> str:
        run = self._list.item
        if run is not None and run.id == self._list.doomed:
            delete, keep = self.memscope.key("runs.delete"), self.memscope.key("runs.let_go")
            return f"{delete} again deletes the run of {words.when(run)}; {keep} keeps it"
        marked = next((run for run in self._list.runs if run.id == self._list.marked), None)
        if marked is None:
            return ""
        compare = self.memscope.key("runs.compare")
        return f"{compare} compares with the run of {words.when(marked)}, marked a"

    def _emptiness(self) -> str:
        missing = self.opened.missing
        if not missing:
            return words.NO_RUNS
        key = self.memscope.key("session.score")
        return f"{words.NO_RUNS}\n\n{key} scores {counted(missing, 'cell')} now."
