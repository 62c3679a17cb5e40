"""What is known of session files, kept in SQLite: a file that has not changed is not opened again."""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from memscope.conversation.library.listed import Listed
from memscope.conversation.readers import FORMATS
from memscope.database import Database

_TABLE = """CREATE TABLE IF NOT EXISTS sessions (
    path BLOB NOT NULL, branch TEXT NOT NULL, stamp TEXT NOT NULL, format TEXT NOT NULL,
    agent TEXT NOT NULL, title TEXT NOT NULL, folder TEXT NOT NULL, author TEXT NOT NULL,
    modified REAL NOT NULL, size INTEGER NOT NULL, entries INTEGER, memories INTEGER, responses INTEGER,
    problem TEXT NOT NULL, PRIMARY KEY (path, branch)
) WITHOUT ROWID"""
_FIELDS = (
    *("format", "agent", "title", "folder", "author", "modified", "size"),
    *("entries", "memories", "responses", "problem"),
)
_COLUMNS = ", ".join(("path", "branch", "stamp", *_FIELDS))
_MARKS = ", ".join("?" * (3 + len(_FIELDS)))
_COUNTS = ("entries", "memories", "responses")
_BATCH = 500
"""Paths a query may name; SQLite's oldest limit is 999."""
_READERS = 1
"""What older readers told is looked at again: raise this when they read more of a file of a known format."""


class Index:
    """Sessions by path; every method may be called from any thread and from several programs at once.

    While the file can't be used nothing is known and nothing is kept, and `problem` says why.
    """

    def __init__(self, path: Path, rules: object) -> None:
        """`rules` is what the settings say of finding memories: with others, memories are counted anew."""
        formats = [form.name for form in FORMATS]
        self._reading = f"{zlib.crc32(repr((_READERS, formats, rules)).encode()):x}"
        self._database = Database(path, _TABLE)

    @property
    def problem(self) -> str | None:
        """Why nothing is kept, and what to do, without a full stop."""
        return self._database.problem

    def stamp(self, *statuses: os.stat_result) -> str:
        """What changes when a file's contents do, or those of files that belong together, or how memscope
        reads them."""
        files = (f"{one.st_size} {one.st_mtime_ns} {one.st_ino}" for one in statuses)
        return "; ".join((self._reading, *files))

    def get(self, stamps: Mapping[str, str]) -> dict[str, list[Listed]]:
        """The sessions in those files (stamps by path) that are known as they are now."""
        known: dict[str, list[Listed]] = {}
        paths = list(map(os.fsencode, stamps))
        for at in range(0, len(paths), _BATCH):
            batch = paths[at : at + _BATCH]
            marks = ",".join("?" * len(batch))
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM sessions WHERE path IN ({marks})", batch)
            for path, branch, seen, *values in rows:
                name = os.fsdecode(path)
                if seen == stamps.get(name):
                    known.setdefault(name, []).append(
                        Listed(name, branch, **dict(zip(_FIELDS, values, strict=True)))
                    )
        return known

    def put(self, files: Mapping[str, Sequence[Listed]], stamps: Mapping[str, str]) -> None:
        """Keep the sessions in files, instead of what was known of those."""
        rows = [
            (os.fsencode(path), each.branch, stamps[path], *(getattr(each, field) for field in _FIELDS))
            for path, sessions in files.items()
            for each in sessions
        ]
        paths = [(os.fsencode(path),) for path in files]

        def change(file: sqlite3.Connection) -> None:
            file.executemany("DELETE FROM sessions WHERE path = ?", paths)
            file.executemany(f"INSERT INTO sessions ({_COLUMNS}) VALUES ({_MARKS})", rows)

        self._database.write(change)

    def put_counts(self, listed: Listed, seen: str) -> None:
        """Keep what was counted in a file that had the stamp `seen`, if that is what is known of it."""
        values = ", ".join(f"{field} = ?" for field in _COUNTS)
        self._database.write(
            lambda file: file.execute(
                f"UPDATE sessions SET {values} WHERE path = ? AND branch = ? AND stamp = ?",
                (
                    *(getattr(listed, field) for field in _COUNTS),
                    *(os.fsencode(listed.path), listed.branch, seen),
                ),
            )
        )

    def drop_vanished(self, present: Iterable[str]) -> None:
        """Forget files that are no more; those `present` are known to be there."""
        there = set(map(os.fsencode, present))
        rows = self._database.execute("SELECT DISTINCT path FROM sessions")
        gone = [(path,) for (path,) in rows if path not in there and not os.path.lexists(path)]
        if gone:
            self._database.write(lambda file: file.executemany("DELETE FROM sessions WHERE path = ?", gone))

    def close(self) -> None:
        """Close the file; nothing is kept afterwards."""
        self._database.close()
