"""The Sessions screen: every session on this machine, searched, filtered, previewed, opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from memscope.demo import demo_path
from memscope.session_rows import Row
from memscope.tui import browsing
from memscope.tui.browsing import Browsing
from memscope.tui.commands import Choice
from memscope.tui.safe import cut, one_line
from memscope.tui.screens.base import MemscopeScreen
from memscope.tui.sessions_view import SessionOrder, SessionsView, identity
from memscope.tui.widgets.activity_bar import ActivityBar
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.session_list import SessionList
from memscope.tui.widgets.session_preview import SessionPreview
from memscope.tui.wording import READ_SESSIONS

_PAUSE = 0.25
"""Seconds of quiet after which texts are searched, and sessions in sight counted and previewed."""
_PROJECTS = 50
"""Projects in the command palette, at most."""
_TICK = 20.0
"""Seconds between two looks at the clock."""
_NONE = """No session was found on this machine.

memscope looks where Claude Code, Codex, Gemini CLI, OpenClaw, pi and Hermes keep their sessions, in the \
current folder, and in the folders that `session_folders` in config.toml names.

{key} opens the conversation that ships with memscope, memscope PATH any other file; and five lines of \
Python make your own agent visible:

  from memscope import SessionLog
  log = SessionLog("agent.jsonl")
  log.memory("diet", "Nora is allergic to peanuts.")
  log.user("What shall I eat?")
  log.assistant("Skip the satay.")"""


class SessionsScreen(MemscopeScreen[None]):
    """The list with its search line and a preview; all looking is done in threads."""

    CSS = """
    SessionsScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #local { width: auto; color: $foreground 60%; }
        #search { height: 1; border: none; padding: 0 1; background: $background; }
        #search:focus { background: $surface; }
        #main { height: 1fr; }
        #list { width: 1fr; }
        #preview { width: 36%; max-width: 70; }
        #empty { height: 1fr; padding: 1 2; }
        #notes { color: $warning; }
    }
    SessionsScreen.-narrow {
        #preview { display: none; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_SESSIONS
    IMPORTANT: ClassVar[tuple[str, ...]] = ("sessions.demo", "list.open", "sessions.search")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="sessions.search", key_display="/", tooltip="Search"),
        Binding("a", "next_agent", "Agent", id="sessions.agent", tooltip="Only the next agent's sessions"),
        Binding(
            "p",
            "next_project",
            "Project",
            id="sessions.project",
            tooltip="Only this session's project, or all",
        ),
        Binding("s", "next_order", "Sort", id="sessions.sort", tooltip="Sort otherwise"),
        Binding("b", "branches", "Branches", id="sessions.branches", tooltip="Choose a branch to open"),
        Binding(
            "d", "demo", "Demo", id="sessions.demo", tooltip="Open the conversation that ships with memscope"
        ),
        Binding("r", "reload", "Reload", id="sessions.reload", tooltip="Look for sessions again"),
        Binding(
            "escape", "back", "Back", id="sessions.back", tooltip="End the search, or back to the matrix"
        ),
    ]

    def __init__(self, folder: Path) -> None:
        """`folder` is the current directory. Raises InputError if the settings can't be read."""
        super().__init__()
        self._browsing = Browsing(self, folder)
        self._view = SessionsView()
        self._scan = 0
        self._scanned = False
        self._notes: tuple[str, ...] = ()
        self._problem = ""
        self._searched = ""
        """What texts were last searched for."""
        self._quiet: Timer | None = None
        self._row: Row | None = None
        """What was under the cursor when that was shown last."""

    def compose(self) -> ComposeResult:
        """A head, the search line, list and preview, activities."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line("read-only and local", id="local")
        key = self.memscope.key
        searches = f"{key('sessions.search')} searches titles and texts"
        yield Input(placeholder=searches, id="search", compact=True)
        with VerticalScroll(id="empty", can_focus=False):
            yield Static(_NONE.format(key=key("sessions.demo")), markup=False)
        with Horizontal(id="main"):
            yield SessionList(self._view, self.palette, key("sessions.back"), id="list")
            yield SessionPreview(self.palette, id="preview")
        yield Line(id="notes")
        yield ActivityBar(self._browsing.activities, lambda: self._browsing.busy)
        yield KeyBar()

    def on_mount(self) -> None:
        """Paint, then look."""
        self._list.now = time.time()
        self._list.focus()
        self.set_interval(_TICK, self._tick)
        self._show()
        self.call_after_refresh(self.action_reload)

    def show_problem(self, sentence: str) -> None:
        """Say in place what went wrong; an empty sentence takes that back."""
        self._problem = one_line(sentence)
        self._show()

    def show_palette(self) -> None:
        """Draw with the theme's colours."""
        self._list.palette = self.query_one(SessionPreview).palette = self.palette
        self._list.refresh()
        self.query_one(SessionPreview).rebuild()

    def choices(self) -> Iterable[Choice]:
        """Every agent, project and order by its name, for the command palette."""

        def choose(name: str, value: object) -> Callable[[], None]:
            def chosen() -> None:
                setattr(self._view, name, value)
                self._rearrange()

            return chosen

        for order in SessionOrder:
            yield f"Sessions {order}", "Sort", choose("order", order)
        yield "All agents", "Sessions of every agent", choose("agent", "")
        for agent in self._view.agents:
            yield f"Only {agent}", "Sessions of this agent", choose("agent", agent)
        yield "All projects", "Sessions of every project", choose("project", "")
        for project in self._view.projects[:_PROJECTS]:
            yield f"Only {cut(one_line(project), 60)}", "Sessions of this project", choose("project", project)

    def recent(self, most: int) -> list[Row]:
        """The sessions that were changed last, as far as they have been found."""
        rows = [row for row in self._view.rows if not row.listed.problem and not row.listed.subagent]
        return sorted(rows, key=lambda row: -row.listed.modified)[:most]

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be looked at."""
        return self._notes

    def on_found(self, message: browsing.Found) -> None:
        """More sessions."""
        if message.scan == self._scan:
            self._view.add(message.rows)
            self._show()

    def on_scanned(self, message: browsing.Scanned) -> None:
        """All that there are: what has vanished goes."""
        if message.scan == self._scan:
            self._view.keep(message.rows)
            self._scanned = True
            self._notes = message.notes
            self._searched = ""
            self._search_texts()
            self._show()

    def on_counted(self, message: browsing.Counted) -> None:
        """Show a session's numbers."""
        self._view.put(message.listed)
        self._show()

    def on_held(self, message: browsing.Held) -> None:
        """A session whose text holds what is searched for."""
        if message.query == self._view.query:
            self._view.hold(message.listed)
            self._show()

    def on_previewed(self, message: browsing.Previewed) -> None:
        """Show the ends of the session under the cursor."""
        row = self._list.item
        if row is not None and identity(row.listed) == identity(message.listed):
            self.query_one(SessionPreview).show_preview(message.problem, message.preview)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error nobody foresaw is said in place, and in Textual's log."""
        if event.state is WorkerState.ERROR:
            self.log.error(event.worker.error)
            self.show_problem(f"Something went wrong inside memscope: {event.worker.error!r}.")

    def close(self) -> None:
        """End whatever runs."""
        self._browsing.close()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search titles at once, texts after a pause."""
        self._view.search(event.value.strip())
        self._list.to_top()
        self._browsing.stop_search()
        self._searched = ""
        self._show()
        self._later()

    def on_input_submitted(self) -> None:
        """From the search to what it found."""
        self._list.focus()

    def on_key(self, event: events.Key) -> None:
        """Down leaves the search line for the list."""
        if event.key == "down" and isinstance(self.focused, Input):
            self._list.focus()
            event.stop()

    def on_row_list_moved(self) -> None:
        """Preview another session once the cursor rests."""
        self._follow()

    def on_row_list_chosen(self) -> None:
        """Open the session under the cursor."""
        row = self._list.item
        if row is not None:
            self.memscope.open_file(row.listed.path, row.listed.branch or None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now."""
        if action == "search":
            return not isinstance(self.focused, Input)
        if action == "demo":
            return self._scanned and not len(self._view)
        if action in ("next_agent", "next_project", "next_order") and not len(self._view):
            return False
        if action == "branches":
            return self._list.item is not None
        if action == "back":
            return bool(self._view.query) or isinstance(self.focused, Input) or self.memscope.is_open
        return True

    def action_search(self) -> None:
        """Type what to search for."""
        self.set_focus(self.query_one(Input))

    def action_next_agent(self) -> None:
        """Show the sessions of the next agent, after the last one of all."""
        choices = ["", *self._view.agents]
        now = choices.index(self._view.agent) if self._view.agent in choices else 0
        self._view.agent = choices[(now + 1) % len(choices)]
        self._rearrange()

    def action_next_project(self) -> None:
        """Show the sessions of the project under the cursor, or of all again."""
        row = self._list.item
        self._view.project = "" if self._view.project or row is None else row.project
        self._rearrange()

    def action_next_order(self) -> None:
        """Sort otherwise."""
        orders = list(SessionOrder)
        self._view.order = orders[(orders.index(self._view.order) + 1) % len(orders)]
        self._rearrange()

    def action_branches(self) -> None:
        """Ask which branch of the session to open."""
        row = self._list.item
        if row is not None:
            self.memscope.choose_branch(row.listed.path)

    def action_demo(self) -> None:
        """Open the conversation that ships with memscope."""
        self.memscope.open_file(str(demo_path()), None)

    def action_reload(self) -> None:
        """Look for sessions again."""
        self._list.now = time.time()
        self._scan = self._browsing.scan()
        self.bar.wake()

    def action_back(self) -> None:
        """End the search; without one, back to the session that is open."""
        if self._view.query or isinstance(self.focused, Input):
            self.query_one(Input).value = ""
            self._list.focus()
        elif self.memscope.is_open:
            self.memscope.action_mode("matrix")

    @property
    def _list(self) -> SessionList:
        return self.query_one(SessionList)

    def _rearrange(self) -> None:
        self._view.arrange()
        self._list.to_top()
        self._show()

    def _show(self) -> None:
        view = self._view
        of = f"{len(view.shown):,} of {len(view):,} sessions" if len(view) else "sessions"
        parts = [of, view.order.value, one_line(view.agent), one_line(view.project)]
        self.line("title").say(
            Content.assemble(("memscope", "bold $primary"), "  ", " · ".join(filter(None, parts)))
        )
        nothing = self._scanned and not len(view)
        self.query_one("#empty").display = nothing
        self.query_one("#main").display = not nothing
        said = self._problem or (one_line(self._notes[0]) if self._notes else "")
        self.line("notes").display = bool(said)
        self.line("notes").say(said)
        self._list.show()
        self._follow()
        self.refresh_bindings()
        self.bar.wake()

    def _follow(self) -> None:
        """If the cursor is on another session, or more is known of it, show that, and the rest later."""
        row = self._list.item
        if row is not self._row:
            self._row = row
            self.query_one(SessionPreview).show_row(row)
            self.refresh_bindings()
            self._later()

    def _tick(self) -> None:
        self._list.now = time.time()
        self._list.refresh()

    def _later(self) -> None:
        """Do what can wait once there has been quiet for a while."""
        if self._quiet is not None:
            self._quiet.stop()
        self._quiet = self.set_timer(_PAUSE, self._rested)

    def _rested(self) -> None:
        self._search_texts()
        self._browsing.count([row.listed for row in self._list.in_sight if not row.listed.counted])
        row = self._list.item
        if row is not None and not row.listed.problem:
            self._browsing.preview(row.listed)

    def _search_texts(self) -> None:
        """Search once for what is searched for; after a scan once more."""
        if self._view.query != self._searched:
            self._searched = self._view.query
            self._browsing.search(self._searched, [row.listed for row in self._view.rows])
