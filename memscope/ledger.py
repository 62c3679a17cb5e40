"""The ledger of memories: how much each one mattered whenever it was scored, and when that was last."""

import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from memscope.database import Database, kept_only_until_you_quit

ALPHA = 0.3
"""How much of a weight the newest value makes up."""
_TABLE = """CREATE TABLE IF NOT EXISTS ledger (
    key TEXT NOT NULL, model TEXT NOT NULL, weight REAL NOT NULL, value REAL NOT NULL,
    last_scored TEXT NOT NULL, times INTEGER NOT NULL, session TEXT NOT NULL, PRIMARY KEY (key, model)
) WITHOUT ROWID"""
_FIELDS = "key, model, weight, value, last_scored, times, session"
_ONE = f"SELECT {_FIELDS} FROM ledger WHERE key = ? AND model = ?"


@dataclass(frozen=True)
class LedgerEntry:
    """What is known of one memory under one model: `value` is its last score in nats, `weight` the moving
    average of all of them, `times` how many they were, `session` the path of the conversation scored last."""

    key: str
    model: str
    weight: float
    value: float
    last_scored: datetime
    times: int
    session: str


@dataclass(frozen=True)
class _Score:
    """One score of one memory, to be entered."""

    key: str
    model: str
    value: float
    scored: datetime
    session: str


class Ledger:
    """Memories by key and model; every method may be called from any thread and from several programs.

    While the file can't be used (read-only, full, damaged, locked) what is recorded stays in memory,
    `problem` says so in one sentence, and each `record` tries again to save it all.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._unsaved: list[_Score] = []
        self._database = Database(path, _TABLE)

    @property
    def problem(self) -> str | None:
        """Why what is recorded is not kept, if it is not."""
        return kept_only_until_you_quit(self._database.problem)

    @property
    def cause(self) -> str | None:
        """The same without what comes of it, and without a full stop."""
        return self._database.problem

    def entries(self) -> list[LedgerEntry]:
        """All entries, largest weight first."""
        with self._lock:
            return sorted(self._known().values(), key=lambda entry: (-entry.weight, entry.key, entry.model))

    def record(self, key: str, model: str, value: float, scored: datetime, session: str) -> LedgerEntry:
        """Enter a memory's new score in nats; the entry it makes, which is on disk when this returns unless
        there is a `problem`."""
        entered: dict[tuple[str, str], LedgerEntry] = {}
        with self._lock:
            self._unsaved.append(_Score(key, model, value, scored, session))
            if self._database.write(lambda file: self._enter(file, entered)):
                self._unsaved.clear()
            else:
                entered = self._known()
        return entered[key, model]

    def close(self) -> None:
        """Close the file; what is recorded afterwards stays in memory."""
        self._database.close()

    def _enter(self, file: sqlite3.Connection, entered: dict[tuple[str, str], LedgerEntry]) -> None:
        for score in self._unsaved:
            row = file.execute(_ONE, (score.key, score.model)).fetchone()
            entry = entered[score.key, score.model] = _after(None if row is None else _entry(row), score)
            file.execute(
                f"INSERT OR REPLACE INTO ledger ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(entry.key, entry.model, entry.weight, entry.value, stamp(entry.last_scored)),
                    *(entry.times, entry.session),
                ),
            )

    def _known(self) -> dict[tuple[str, str], LedgerEntry]:
        """What is on disk and what is not yet."""
        rows = self._database.execute(f"SELECT {_FIELDS} FROM ledger")
        known = {(entry.key, entry.model): entry for row in rows if (entry := _entry(row)) is not None}
        for score in self._unsaved:
            known[score.key, score.model] = _after(known.get((score.key, score.model)), score)
        return known


def stamp(moment: datetime) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _after(before: LedgerEntry | None, score: _Score) -> LedgerEntry:
    """An entry with one more score: the first is the weight as it is, each further one moves it."""
    weight = score.value if before is None else ALPHA * score.value + (1 - ALPHA) * before.weight
    times = 1 if before is None else before.times + 1
    return LedgerEntry(score.key, score.model, weight, score.value, score.scored, times, score.session)


def _entry(row: tuple[str, str, float, float, str, int, str]) -> LedgerEntry | None:
    """None if the row does not hold what it should."""
    key, model, weight, value, last_scored, times, session = row
    try:
        scored = datetime.fromisoformat(last_scored).astimezone(UTC)
        return LedgerEntry(key, model, float(weight), float(value), scored, int(times), session)
    except (ValueError, TypeError, OverflowError):
        return None
