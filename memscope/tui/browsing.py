"""The bridge between the session browser and the library: scans, counts and searches in threads."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.screen import Screen

from memscope.activity import Activities
from memscope.conversation.library import Listed, Preview, open_library
from memscope.database import FILE
from memscope.errors import InputError
from memscope.scoring.runs import Runs
from memscope.session_rows import Row, rows_of
from memscope.settings import cache_dir


@dataclass
class Found(Message):
    """More sessions, of the scan that is under way."""

    scan: int
    rows: list[Row]


@dataclass
class Scanned(Message):
    """A scan has ended: all that it found; `notes` say what could not be looked at."""

    scan: int
    rows: list[Row]
    notes: tuple[str, ...]


@dataclass
class Counted(Message):
    """What is in a session has been counted."""

    listed: Listed


@dataclass
class Held(Message):
    """The text of a session holds `query`."""

    query: str
    listed: Listed


@dataclass
class Previewed(Message):
    """The ends of a session, or why they can't be read."""

    listed: Listed
    preview: Preview | None
    problem: str


class Browsing:
    """Asks the library without the screen waiting; a new request of a kind ends the one before."""

    def __init__(self, screen: Screen[Any], folder: Path) -> None:
        """`screen` gets the messages, `folder` is the current directory. Raises InputError if the settings
        can't be read."""
        self._screen = screen
        self.activities = Activities()
        self._library = open_library(folder)
        self._runs = Runs(cache_dir() / FILE)
        self._stops: dict[str, threading.Event] = {}
        self._scans = 0

    @property
    def busy(self) -> bool:
        """Whether anything is being looked for."""
        return any(
            worker.node is self._screen and not worker.is_finished for worker in self._screen.app.workers
        )

    def scan(self) -> int:
        """Look for all sessions; the number of this scan."""
        self._scans += 1
        number = self._scans
        self._start("scan", lambda stop: self._scan(number, stop))
        return number

    def count(self, sessions: Sequence[Listed]) -> None:
        """Count what is in these sessions, in this order."""
        self._start("count", lambda stop: self._count(sessions, stop))

    def search(self, query: str, sessions: Sequence[Listed]) -> None:
        """Look for a text in these sessions."""
        self._start("search", lambda stop: self._search(query, sessions, stop))

    def stop_search(self) -> None:
        """End the search that is under way."""
        if "search" in self._stops:
            self._stops["search"].set()

    def preview(self, listed: Listed) -> None:
        """Read the ends of a session."""
        self._start("preview", lambda stop: self._preview(listed, stop))

    def close(self) -> None:
        """End whatever runs."""
        for stop in self._stops.values():
            stop.set()
        self._library.close()
        self._runs.close()

    def _start(self, kind: str, work: Callable[[threading.Event], None]) -> None:
        if kind in self._stops:
            self._stops[kind].set()
        stop = self._stops[kind] = threading.Event()
        self._screen.run_worker(
            lambda: work(stop), group=kind, exclusive=True, thread=True, exit_on_error=False
        )

    def _post(self, message: Message, stop: threading.Event) -> None:
        if not stop.is_set():
            self._screen.post_message(message)

    def _scan(self, number: int, stop: threading.Event) -> None:
        everything: list[Row] = []
        with self.activities.track("looking for sessions", unit="sessions") as activity:
            for batch in self._library.scan(stop):
                rows = rows_of(batch, self._library, self._runs)
                everything += rows
                activity.advance(len(rows))
                self._post(Found(number, rows), stop)
        self._post(Scanned(number, everything, self._library.notes), stop)

    def _count(self, sessions: Iterable[Listed], stop: threading.Event) -> None:
        for listed in sessions:
            if stop.is_set():
                return
            counted = self._library.count(listed)
            if counted is not listed:
                self._post(Counted(counted), stop)

    def _preview(self, listed: Listed, stop: threading.Event) -> None:
        try:
            self._post(Previewed(listed, self._library.preview(listed), ""), stop)
        except InputError as error:
            self._post(Previewed(listed, None, str(error)), stop)

    def _search(self, query: str, sessions: Sequence[Listed], stop: threading.Event) -> None:
        with self.activities.track("searching in texts"):
            for listed in self._library.search(query, sessions, stop):
                self._post(Held(query, listed), stop)
