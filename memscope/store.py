"""What was computed once stays: log-probabilities in SQLite, under names that say what they are of."""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from memscope.database import Database, kept_only_until_you_quit
from memscope.scorers.base import LogProbs

_TABLE = "CREATE TABLE IF NOT EXISTS logprobs (key BLOB PRIMARY KEY, logprobs BLOB NOT NULL) WITHOUT ROWID"
_NUMBER = np.dtype("<f4")
_BATCH = 500
"""Keys a query may name; SQLite's oldest limit is 999."""


class Store:
    """Log-probabilities by key; every method may be called from any thread and from several programs at once.

    While the file can't be used (read-only, full, damaged, locked) results stay in memory, `problem` says so
    in one sentence, and each `put` tries again to save them all.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._unsaved: dict[bytes, LogProbs] = {}
        self._database = Database(path, _TABLE)

    @property
    def problem(self) -> str | None:
        """Why results are not kept, if they are not."""
        return kept_only_until_you_quit(self._database.problem)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, LogProbs]:
        """The log-probabilities, in nats, of those keys that are known."""
        wanted = list(keys)
        with self._lock:
            found = {key: self._unsaved[key] for key in wanted if key in self._unsaved}
        for at in range(0, len(wanted), _BATCH):
            batch = wanted[at : at + _BATCH]
            marks = ",".join("?" * len(batch))
            query = f"SELECT key, logprobs FROM logprobs WHERE key IN ({marks})"
            for key, blob in self._database.execute(query, batch):
                if len(blob) % _NUMBER.itemsize == 0:
                    found.setdefault(key, np.frombuffer(blob, _NUMBER))
        return found

    def put(self, scores: Mapping[bytes, LogProbs]) -> None:
        """Keep log-probabilities; they are on disk when this returns, unless there is a `problem`."""
        with self._lock:
            self._unsaved.update(scores)
            rows = [(key, scores.astype(_NUMBER).tobytes()) for key, scores in self._unsaved.items()]
            if self._database.write(
                lambda file: file.executemany("INSERT OR REPLACE INTO logprobs VALUES (?, ?)", rows)
            ):
                self._unsaved.clear()

    def close(self) -> None:
        """Close the file; what is put afterwards stays in memory."""
        self._database.close()
