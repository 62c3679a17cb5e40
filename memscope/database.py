"""The one SQLite file in which memscope keeps what it has found out."""

import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import stamina

# stamina logs every retry; with no handler of its own that would be printed over the screen
logging.getLogger("stamina").addHandler(logging.NullHandler())

FILE = "scores.sqlite"
"""Its name in the cache folder."""
_SCHEMA = 2
_PATIENCE = 10.0
"""Seconds to wait while another memscope writes."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One of the file's tables; every method may be called from any thread and from several programs at once.

    While the file can't be used (read-only, full, damaged, locked) nothing is read or written, and `problem`
    says why and what to do, without a full stop.
    """

    def __init__(self, path: Path, table: str) -> None:
        """`table` is the statement that makes the table if it is not there."""
        self.problem: str | None = None
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(path, table)
            weakref.finalize(self, self._connection.close)
        except (sqlite3.Error, OSError) as error:
            self.problem = self._sentence(error)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The rows that a statement gives; none if the file can't be read."""
        with self._lock:
            if self._connection is not None:
                try:
                    return self._connection.execute(statement, parameters).fetchall()
                except sqlite3.Error as error:
                    self.problem = self._sentence(error)
        return []

    def write(self, change: Callable[[sqlite3.Connection], object]) -> bool:
        """Make a change that no other program's comes between. Whether it is on disk; if not there is a
        `problem`, or the file is closed, and nothing of it is done."""
        with self._lock:
            if self._connection is None:
                return False
            try:
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    change(self._connection)
            except sqlite3.Error as error:
                self.problem = self._sentence(error)
                return False
            self.problem = None
            return True

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _sentence(self, error: Exception) -> str:
        if getattr(error, "sqlite_errorcode", None) in _DAMAGED:
            remedy = "delete that file, or set MEMSCOPE_CACHE_DIR to another folder"
        else:
            remedy = "free some space, or set MEMSCOPE_CACHE_DIR to a folder you may write to"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"{self._path} can't be used ({reason}); {remedy}"


def kept_only_until_you_quit(problem: str | None) -> str | None:
    """A database's `problem` as the sentence that a user sees while results are shown all the same."""
    return None if problem is None else f"Scores are kept only until you quit: {problem}."


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


# the change to write-ahead logging does not wait for another program that makes the same file just now
@stamina.retry(on=_is_locked, attempts=20, timeout=_PATIENCE, wait_initial=0.02, wait_max=0.5)
def _connect(path: Path, table: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA:
            raise sqlite3.DatabaseError("a newer memscope wrote it")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(table)
            connection.execute(f"PRAGMA user_version = {_SCHEMA}")
    except BaseException:
        connection.close()
        raise
    return connection
