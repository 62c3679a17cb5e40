"""Hermes's database: sessions as branches, whatever its version, beside a program that writes it."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from memscope.conversation.model import Branch, Conversation, Entry, Role, ToolCall
from memscope.conversation.readers import read_conversation
from memscope.conversation.readers.hermes_database import list_sessions
from memscope.errors import InputError

OLD = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT NOT NULL, model TEXT, system_prompt TEXT,
    parent_session_id TEXT, started_at REAL NOT NULL);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL,
    content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, timestamp REAL NOT NULL);
CREATE INDEX idx_messages_session ON messages(session_id, timestamp);
"""
NEW = """
ALTER TABLE sessions ADD COLUMN title TEXT;
ALTER TABLE sessions ADD COLUMN cwd TEXT;
ALTER TABLE sessions ADD COLUMN last_activity_at REAL;
ALTER TABLE sessions ADD COLUMN system_prompt_hash TEXT;
ALTER TABLE messages ADD COLUMN active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN api_content TEXT;
ALTER TABLE messages ADD COLUMN a_column_of_the_future BLOB;
CREATE TABLE system_prompts (hash TEXT PRIMARY KEY, prompt TEXT NOT NULL);
CREATE INDEX idx_messages_session_active ON messages(session_id, active, timestamp);
"""
CALLS = [{"id": "c1", "function": {"name": "shell", "arguments": "{}"}}]


def insert(database: sqlite3.Connection, table: str, **values: Any) -> None:
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))


def session(database: sqlite3.Connection, id_: str, started: float, *texts: str, **more: Any) -> None:
    """A session in which the user and the agent take turns."""
    insert(database, "sessions", id=id_, source="cli", model="gpt-5", started_at=started, **more)
    for at, text in enumerate(texts):
        role = ("user", "assistant")[at % 2]
        insert(database, "messages", session_id=id_, role=role, content=text, timestamp=started + at)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as database, database:
        yield database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two sessions in a file whose name means something in a URI."""
    path = tmp_path / "state? 100%#1.db"
    with opened(path) as database:
        database.executescript(OLD + NEW)
        session(database, "s1", 1000.0, "Where do I live?", "In Lyon.", title="Home", cwd="/repo")
        session(database, "s2", 2000.0, "  What\nnow? ", "Rest.", parent_session_id="s1")
    return path


def read(path: Path, branch: str | None = None) -> Conversation:
    return read_conversation(str(path), branch)


def texts(conversation: Conversation) -> list[str]:
    return [entry.text for entry in conversation.entries]


class TestSessions:
    def test_the_one_that_changed_last_is_read(self, path: Path) -> None:
        conversation = read(path)
        assert texts(conversation) == ["  What\nnow? ", "Rest."]
        assert (conversation.source.format, conversation.source.branch) == ("hermes", "s2")
        with opened(path) as database:
            database.execute("UPDATE sessions SET last_activity_at = 9000 WHERE id = 's1'")
        assert read(path).source.branch == "s1"

    def test_each_is_a_branch(self, path: Path) -> None:
        conversation = read(path, "s1")
        assert texts(conversation) == ["Where do I live?", "In Lyon."]
        assert conversation.source.branches == (Branch("s2", "What now?", 2), Branch("s1", "Home", 2))
        assert conversation.source.branch == "s1"

    def test_one_alone_can_be_asked_for(self, path: Path) -> None:
        with opened(path) as database:
            database.execute("DELETE FROM messages WHERE session_id = 's2'")
        assert read(path, "s1").source.branches == (Branch("s1", "Home", 2),)

    def test_an_unknown_one_is_refused(self, path: Path) -> None:
        with pytest.raises(InputError, match="has no branch 's9'"):
            read(path, "s9")

    def test_who_spoke_and_where_is_known(self, path: Path) -> None:
        source = read(path, "s1").source
        assert (source.agent, source.author, source.folder, source.title) == (
            "Hermes",
            "gpt-5",
            "/repo",
            "Home",
        )

    def test_they_are_listed_with_times_and_numbers(self, path: Path) -> None:
        first, second = list_sessions(path)
        assert (first.id, first.title, first.model, first.folder) == ("s2", "What now?", "gpt-5", "")
        assert (second.id, second.title, second.folder, second.messages) == ("s1", "Home", "/repo", 2)
        assert (second.started, second.modified) == (1000.0, 1001.0)

    def test_times_that_can_be_none_are_not_known(self, path: Path) -> None:
        with opened(path) as database:
            database.execute("UPDATE sessions SET started_at = 'noon'")
            database.execute("UPDATE messages SET timestamp = 5e246")
        assert {(each.started, each.modified) for each in list_sessions(path)} == {(None, None)}


class TestMessages:
    def test_calls_and_parts_are_read(self, path: Path) -> None:
        parts = "\0json:" + json.dumps([{"type": "text", "text": "See this"}, {"type": "image_url"}])
        with opened(path) as database:
            row = {"session_id": "s2", "timestamp": 2005.0}
            insert(database, "messages", role="user", content=parts, **row)
            insert(database, "messages", role="assistant", tool_calls=json.dumps(CALLS), **row)
            insert(database, "messages", role="tool", content="ok", tool_call_id="c1", tool_name="sh", **row)
        assert read(path).entries[2:] == (
            Entry(Role.USER, "See this", timestamp="2005.0"),
            Entry(Role.ASSISTANT, "", tool_calls=(ToolCall("shell", "{}", "c1"),), timestamp="2005.0"),
            Entry(Role.TOOL, "ok", tool_call_id="c1", name="sh", timestamp="2005.0"),
        )

    def test_the_system_prompt_comes_first_wherever_it_is_kept(self, path: Path) -> None:
        with opened(path) as database:
            insert(database, "system_prompts", hash="h", prompt="Be brief.")
            database.execute("UPDATE sessions SET system_prompt_hash = 'h' WHERE id = 's1'")
            database.execute("UPDATE sessions SET system_prompt = 'Be kind.' WHERE id = 's2'")
        assert [texts(read(path, id_))[0] for id_ in ("s1", "s2")] == ["Be brief.", "Be kind."]

    def test_what_was_taken_back_is_passed_over_and_counted(self, path: Path) -> None:
        with opened(path) as database:
            insert(database, "messages", session_id="s2", role="user", content="No", timestamp=1, active=0)
        conversation = read(path)
        assert texts(conversation) == ["  What\nnow? ", "Rest."]
        assert conversation.source.notes == ("messages passed over, as they were taken back or summed up: 1",)

    def test_a_row_that_cannot_be_read_is_left_out_and_named(self, path: Path) -> None:
        with opened(path) as database:
            row = {"session_id": "s2", "role": "assistant", "timestamp": 2005.0}
            insert(database, "messages", id=50, tool_calls="[{", **row)
            insert(database, "messages", id=51, content=b"\xff", **row)
            insert(database, "messages", id=52, content="Still here.", **row)
        conversation = read(path)
        assert texts(conversation)[2:] == ["Still here."]
        first, second = conversation.source.notes
        assert first.startswith("row 50 was left out: `tool_calls`: not valid JSON")
        assert second == "row 51 was left out: `content`: byte 0 is not UTF-8 text"

    def test_text_that_is_not_utf8_spoils_no_list(self, path: Path) -> None:
        with opened(path) as database:
            database.execute("UPDATE sessions SET title = CAST(x'ff41' AS TEXT) WHERE id = 's2'")
        assert list_sessions(path)[0].title == "\ufffdA"

    def test_an_older_version_without_the_newer_columns_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        with opened(path) as database:
            database.executescript(OLD)
            session(database, "s1", 1000.0, "Hello", "Hi", system_prompt="Be kind.")
        assert texts(read(path)) == ["Be kind.", "Hello", "Hi"]
        assert list_sessions(path)[0].title == "Hello"


class TestBesideAWriter:
    WRITER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = " + sys.argv[2])
database.execute("BEGIN " + sys.argv[3])
database.execute("INSERT INTO messages (session_id, role, content, timestamp) VALUES ('s2', 'user', 'x', 1)")
print("written", flush=True)
sys.stdin.readline()
"""

    @contextmanager
    def writing(self, path: Path, journal: str, how: str) -> Iterator[None]:
        """Another process that has a transaction open."""
        with subprocess.Popen(
            [sys.executable, "-c", self.WRITER, str(path), journal, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"written\n"
            yield
            writer.communicate(b"\n")

    @pytest.mark.parametrize("journal", ["WAL", "DELETE"])
    def test_what_is_committed_is_read(self, path: Path, journal: str) -> None:
        with self.writing(path, journal, "IMMEDIATE"):
            assert texts(read(path)) == ["  What\nnow? ", "Rest."]
            assert len(list_sessions(path)) == 2

    def test_what_only_the_log_holds_is_read(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            with database:
                session(database, "s3", 3000.0, "Newer", "Yes")
            assert read(path).source.branch == "s3"

    def test_a_lock_that_stays_is_told_in_a_sentence(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("memscope.conversation.readers.hermes_database._PATIENCE", 0.05)
        with (
            self.writing(path, "DELETE", "EXCLUSIVE"),
            pytest.raises(InputError, match=r"keeps the database locked; try again in a moment\.$"),
        ):
            read(path)

    def test_nothing_is_written(self, path: Path) -> None:
        before = path.read_bytes()
        read(path)
        assert (path.read_bytes(), [each.name for each in path.parent.iterdir()]) == (before, [path.name])


class TestRefusals:
    def refusal(self, path: Path) -> str:
        with pytest.raises(InputError) as refused:
            read(path)
        with pytest.raises(InputError):
            list_sessions(path)
        return str(refused.value).removeprefix(str(path))

    def test_a_database_of_another_program(self, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        with opened(path) as database:
            database.execute("CREATE TABLE messages (id, body)")
        assert self.refusal(path) == " is an SQLite database, but not one of Hermes's; give its state.db."

    def test_views_that_only_look_like_its_tables(self, tmp_path: Path) -> None:
        path = tmp_path / "view.db"
        with opened(path) as database:
            endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id"
            database.execute(f"CREATE VIEW sessions AS {endless} FROM n")
            database.execute(f"CREATE VIEW messages AS {endless}, id AS session_id, 'user' AS role FROM n")
        assert "not one of Hermes's" in self.refusal(path)

    def test_a_damaged_file(self, path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
        assert self.refusal(path).startswith(": the database is damaged (")

    def test_a_damaged_schema_that_is_no_text(self, path: Path) -> None:
        path.write_bytes(
            path.read_bytes().replace(b"CREATE TABLE sessions (id", b"CREATE TABLE sessions (\x9e\xff(")
        )
        assert self.refusal(path).startswith(": the database is damaged (")

    def test_half_a_file(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:3000])
        assert self.refusal(path).startswith(": the database is damaged (")

    def test_a_database_without_messages(self, path: Path) -> None:
        with opened(path) as database:
            database.execute("DELETE FROM messages")
        with pytest.raises(InputError, match="holds no messages"):
            read(path)
        assert list_sessions(path) == ()

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"can't be read \(unable to open database file\)"):
            list_sessions(tmp_path / "state.db")
