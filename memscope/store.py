"""What was computed once stays: log-probabilities in SQLite, under names that say what they are of."""

import logging
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import stamina

from memscope.scorers.base import LogProbs

# stamina logs every retry; with no handler of its own that would be printed over the screen
logging.getLogger("stamina").addHandler(logging.NullHandler())

_SCHEMA = 1
_TABLE = "CREATE TABLE IF NOT EXISTS logprobs (key BLOB PRIMARY KEY, logprobs BLOB NOT NULL) WITHOUT ROWID"
_NUMBER = np.dtype("<f4")
_BATCH = 500
"""Keys a query may name; SQLite's oldest limit is 999."""
_PATIENCE = 10.0
"""Seconds to wait while another memscope writes."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Store:
    """Log-probabilities by key; every method may be called from any thread and from several programs at once.

    While the file can't be used (read-only, full, damaged, locked) results stay in memory, `problem` says so
    in one sentence, and each `put` tries again to save them all.
    """

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        self._path = path
        self._lock = threading.Lock()
        self._unsaved: dict[bytes, LogProbs] = {}
        self._database: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _connect(path)
            weakref.finalize(self, self._database.close)
        except (sqlite3.Error, OSError) as error:
            self.problem = self._sentence(error)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, LogProbs]:
        """The log-probabilities, in nats, of those keys that are known."""
        wanted = list(keys)
        with self._lock:
            found = {key: self._unsaved[key] for key in wanted if key in self._unsaved}
            if self._database is not None:
                try:
                    for at in range(0, len(wanted), _BATCH):
                        batch = wanted[at : at + _BATCH]
                        marks = ",".join("?" * len(batch))
                        query = f"SELECT key, logprobs FROM logprobs WHERE key IN ({marks})"
                        for key, blob in self._database.execute(query, batch):
                            if len(blob) % _NUMBER.itemsize == 0:
                                found.setdefault(key, np.frombuffer(blob, _NUMBER))
                except sqlite3.Error as error:
                    self.problem = self._sentence(error)
        return found

    def put(self, scores: Mapping[bytes, LogProbs]) -> None:
        """Keep log-probabilities; they are on disk when this returns, unless there is a `problem`."""
        with self._lock:
            self._unsaved.update(scores)
            if self._database is None:
                return
            rows = [(key, scores.astype(_NUMBER).tobytes()) for key, scores in self._unsaved.items()]
            try:
                with self._database:
                    self._database.executemany("INSERT OR REPLACE INTO logprobs VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                self.problem = self._sentence(error)
            else:
                self._unsaved.clear()
                self.problem = None

    def close(self) -> None:
        """Close the file; what is put afterwards stays in memory."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _sentence(self, error: Exception) -> str:
        if getattr(error, "sqlite_errorcode", None) in _DAMAGED:
            remedy = "delete that file, or set MEMSCOPE_CACHE_DIR to another folder"
        else:
            remedy = "free some space, or set MEMSCOPE_CACHE_DIR to a folder you may write to"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"Scores are kept only until you quit: {self._path} can't be used ({reason}); {remedy}."


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


# the change to write-ahead logging does not wait for another program that makes the same file just now
@stamina.retry(on=_is_locked, attempts=20, timeout=_PATIENCE, wait_initial=0.02, wait_max=0.5)
def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    try:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA:
            raise sqlite3.DatabaseError("a newer memscope wrote it")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with database:
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version = {_SCHEMA}")
    except BaseException:
        database.close()
        raise
    return database
