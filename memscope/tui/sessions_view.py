"""Which sessions the browser shows, and in which order: search, filters, sorting. Knows no widget."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum

from memscope.conversation.library import Listed
from memscope.session_rows import Row

Identity = tuple[str, str]
"""A session's path and branch."""


class SessionOrder(StrEnum):
    """How sessions are ordered; those of the current directory stand first in any case."""

    NEWEST = "newest first"
    TITLE = "by title"
    PROJECT = "by project"
    RESPONSES = "by responses"
    STRONGEST = "by strongest memory"


_KEYS: dict[SessionOrder, Callable[[Row], tuple[object, ...]]] = {
    SessionOrder.NEWEST: lambda row: (-row.listed.modified,),
    SessionOrder.TITLE: lambda row: (row.listed.title.casefold(),),
    SessionOrder.PROJECT: lambda row: (row.project.casefold(), -row.listed.modified),
    SessionOrder.RESPONSES: lambda row: (-(row.listed.responses or 0), -row.listed.modified),
    SessionOrder.STRONGEST: lambda row: (
        -(row.run.weight or 0.0) if row.run is not None else 1.0,
        -row.listed.modified,
    ),
}


def identity(listed: Listed) -> Identity:
    """What tells a session from all others."""
    return listed.path, listed.branch


class SessionsView:
    """All sessions that were found, and `shown`, those of them that the filters let through, in order.

    The sessions of subagents are shown only where they are searched for.
    """

    def __init__(self) -> None:
        self.order = SessionOrder.NEWEST
        self.query = ""
        self.agent = ""
        """Only this agent's sessions; empty for all."""
        self.project = ""
        """Only this project's sessions; empty for all."""
        self.shown: list[Row] = []
        self._rows: dict[Identity, Row] = {}
        self._holding: set[Identity] = set()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[Row]:
        """All of them, as they were found."""
        return list(self._rows.values())

    @property
    def agents(self) -> list[str]:
        """The agents there are, by name."""
        return sorted({row.listed.agent for row in self._rows.values() if row.listed.agent})

    @property
    def projects(self) -> list[str]:
        """The projects there are, by name."""
        return sorted({row.project for row in self._rows.values() if row.project}, key=str.casefold)

    def add(self, rows: Iterable[Row]) -> None:
        """Take in sessions, or what is new of those that are there."""
        self._rows.update({identity(row.listed): row for row in rows})
        self.arrange()

    def put(self, listed: Listed) -> None:
        """What is known of a session has changed."""
        row = self._rows.get(identity(listed))
        if row is not None:
            self._rows[identity(listed)] = replace(row, listed=listed)
            self.arrange()

    def keep(self, found: Iterable[Row]) -> None:
        """Let go of all but these."""
        self._rows = {identity(row.listed): row for row in found}
        self.arrange()

    def search(self, query: str) -> None:
        """Show the sessions with these words in title, project or agent; `hold` adds others."""
        self.query = query
        self._holding.clear()
        self.arrange()

    def hold(self, listed: Listed) -> None:
        """The text of this session holds what is searched for."""
        self._holding.add(identity(listed))
        self.arrange()

    def arrange(self) -> None:
        """Choose and order what is shown."""
        words = self.query.casefold().split()

        def passes(row: Row) -> bool:
            listed = row.listed
            if (self.agent and listed.agent != self.agent) or (self.project and row.project != self.project):
                return False
            if not words:
                return not listed.subagent
            text = f"{listed.title} {listed.agent} {listed.folder}".casefold()
            return identity(listed) in self._holding or all(word in text for word in words)

        key = _KEYS[self.order]
        self.shown = sorted(filter(passes, self._rows.values()), key=lambda row: (not row.here, *key(row)))
