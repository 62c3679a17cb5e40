"""Files that hold many sessions: Hermes's database."""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from memscope.conversation.library import library as module
from memscope.conversation.readers.hermes_database import StoredSession, list_sessions
from tests.conversation.library.conftest import NOW, Machine, talk

TABLES = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, model TEXT, title TEXT, cwd TEXT, started_at REAL NOT NULL);
CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT,
    timestamp REAL NOT NULL);
"""


def session(database: sqlite3.Connection, name: str, started: float, *texts: str, cwd: str = "") -> None:
    """A session in which the user and the agent take turns."""
    database.execute("INSERT INTO sessions VALUES (?, 'gpt', NULL, ?, ?)", (name, cwd, started))
    for at, text in enumerate(texts):
        row = (name, ("user", "assistant")[at % 2], text, started + at)
        database.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?, ?)", row)


@pytest.fixture
def path(machine: Machine) -> Path:
    """A database with two sessions, of which the first one is the newer."""
    path = machine.home / ".hermes" / "state.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(TABLES)
        session(database, "new", NOW - 100, "Sum it up", "It is this.", cwd=str(machine.here))
        session(database, "old", NOW - 900, "Fix it", "Where?", "There", cwd="/work/app")
    return path


def test_each_session_is_listed_by_its_id_as_old_as_it_is(machine: Machine, path: Path) -> None:
    new, old = machine.scan()
    assert (new.path, new.branch, new.format, new.agent) == (str(path), "new", "hermes", "Hermes")
    assert (new.title, new.author, new.folder) == ("Sum it up", "gpt", str(machine.here))
    assert (new.modified, old.modified) == (NOW - 99, NOW - 898)
    assert (old.branch, old.entries, old.problem) == ("old", None, "")


def test_each_is_counted_previewed_and_searched_by_itself(machine: Machine, path: Path) -> None:
    found = machine.scan()
    library = machine.library()
    assert [library.count(each).entries for each in found] == [2, 3]
    assert [library.preview(each).first[0].text for each in found] == ["Sum it up", "Fix it"]
    assert [each.branch for each in library.search("THERE", found, threading.Event())] == ["old"]
    library.close()
    assert [each.entries for each in machine.scan()] == [2, 3]


def test_it_is_asked_only_when_it_has_changed(
    machine: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def watched(path: Path) -> tuple[StoredSession, ...]:
        asked.append(path)
        return list_sessions(path)

    monkeypatch.setattr(module, "list_sessions", watched)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        machine.scan()
        machine.scan()
        assert len(asked) == 1
        with database:
            session(database, "third", NOW, "Hi", "Hello")
        assert [each.branch for each in machine.scan()] == ["third", "new", "old"]
        assert len(asked) == 2


def test_the_latest_is_the_session_that_changed_last_not_the_file(machine: Machine, path: Path) -> None:
    assert machine.library().latest(threading.Event()).branch == "new"
    machine.claude("a.jsonl", talk("Hi", "Hello", cwd=str(machine.here)), age=50)
    os.utime(path, (NOW, NOW))
    assert machine.library().latest(threading.Event()).title == "Hi"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"no database", "file is not a database"), (b"", "not one of Hermes's")],
)
def test_another_file_under_its_name_says_so(
    machine: Machine, path: Path, content: bytes, problem: str
) -> None:
    path.write_bytes(content)
    listed = machine.listed()
    assert problem in listed.problem
    assert listed.branch == ""


def test_a_database_without_messages_says_so(machine: Machine, path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM messages")
    assert machine.listed().problem == "state.db holds no messages."
