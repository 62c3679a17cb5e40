"""Following a file that an agent writes: what comes appears once, and another file is read anew."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memscope.conversation import follow
from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.errors import InputError
from tests.conversation.test_hermes_database import OLD, insert, session


def line(text: str, role: str = "user", **more: str) -> str:
    return json.dumps({"role": role, "content": text, **more}) + "\n"


def texts(conversation: Conversation | None) -> list[str] | None:
    return None if conversation is None else [entry.text for entry in conversation.entries]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text(line("one") + line("two", "assistant"))
    return path


@pytest.fixture
def follower(log: Path) -> Follower:
    follower = Follower(str(log))
    assert texts(follower.open()) == ["one", "two"]
    return follower


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock on."""
    now = [0.0]

    def move(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("memscope.conversation.follow.time.monotonic", lambda: now[0])
    return move


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_file_that_has_not_changed_gives_nothing(follower: Follower) -> None:
    assert follower.look() is None
    assert follower.problem == ""


def test_new_lines_are_added(follower: Follower, log: Path) -> None:
    add(log, line("three"))
    assert texts(follower.look()) == ["one", "two", "three"]
    add(log, line("four") + line("five"))
    assert texts(follower.look()) == ["one", "two", "three", "four", "five"]
    assert follower.look() is None


def test_half_a_line_waits_for_the_rest_and_is_no_damage(follower: Follower, log: Path) -> None:
    half = line("thrée")
    add(log, half[:12])
    found = follower.look()
    assert texts(found) == ["one", "two"]
    assert found is not None
    assert found.source.notes == ()
    add(log, half[12:])
    assert texts(follower.look()) == ["one", "two", "thrée"]


def test_a_whole_last_line_counts_before_its_line_end_comes(follower: Follower, log: Path) -> None:
    add(log, line("three").rstrip("\n"))
    assert texts(follower.look()) == ["one", "two", "three"]
    add(log, "\n" + line("four") + "damage\n")
    found = follower.look()
    assert texts(found) == ["one", "two", "three", "four"]
    assert found is not None
    assert found.source.notes[0].startswith("line 5 was left out: ")


def test_a_truncated_file_is_read_from_its_start(follower: Follower, log: Path) -> None:
    log.write_text(line("anew"))
    assert texts(follower.look()) == ["anew"]


def test_a_file_rewritten_in_place_in_the_same_size_is_read_anew(follower: Follower, log: Path) -> None:
    data = log.read_bytes().replace(b"one", b"ONE")
    with log.open("r+b") as file:
        file.write(data)
    os.utime(log, (1, 1))
    assert texts(follower.look()) == ["ONE", "two"]


def test_a_longer_file_that_begins_otherwise_is_read_anew(follower: Follower, log: Path) -> None:
    log.write_text(line("other one") + line("two", "assistant") + line("three"))
    assert texts(follower.look()) == ["other one", "two", "three"]


def test_beyond_the_first_megabytes_the_end_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_FRONT", 30)
    path = tmp_path / "log.jsonl"
    path.write_text(line("one") * 3 + line("last"))
    follower = Follower(str(path))
    follower.open()
    path.write_text(line("one") * 3 + line("LAST") + line("more"))
    assert texts(follower.look()) == ["one", "one", "one", "LAST", "more"]


def test_a_file_put_in_its_place_is_read_anew(follower: Follower, log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(log.read_text() + line("three"))
    os.replace(other, log)
    assert texts(follower.look()) == ["one", "two", "three"]


def test_a_document_that_is_rewritten_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    messages = [{"role": "user", "content": "one"}]
    path.write_text(json.dumps({"messages": messages}))
    follower = Follower(str(path))
    assert texts(follower.open()) == ["one"]
    messages.append({"role": "assistant", "content": "two"})
    path.write_text(json.dumps({"messages": messages}))
    assert texts(follower.look()) == ["one", "two"]


class TestProblems:
    def test_a_deleted_file_is_said_to_be_at_once(self, follower: Follower, log: Path) -> None:
        log.unlink()
        assert follower.look() is None
        assert follower.problem == f"{log} was deleted; what was read of it stays."

    def test_a_file_that_comes_back_is_followed_again(self, follower: Follower, log: Path) -> None:
        log.unlink()
        follower.look()
        log.write_text(line("anew"))
        assert texts(follower.look()) == ["anew"]
        assert follower.problem == ""

    def test_a_file_in_the_middle_of_being_rewritten_is_no_problem_for_a_moment(
        self, follower: Follower, log: Path, later: Callable[[float], None]
    ) -> None:
        log.write_text("")
        assert follower.look() is None
        assert follower.problem == ""
        later(0.5)
        assert follower.look() is None
        assert follower.problem == ""
        log.write_text(line("anew"))
        assert texts(follower.look()) == ["anew"]
        later(9)
        assert follower.look() is None
        assert follower.problem == ""

    def test_a_file_that_stays_unreadable_is_said_to_be(
        self, follower: Follower, log: Path, later: Callable[[float], None]
    ) -> None:
        log.write_text("")
        follower.look()
        later(1.5)
        assert follower.look() is None
        assert follower.problem == f"{log} is empty; give a file with a conversation."

    def test_a_folder_in_its_place_is_said_to_be_one(
        self, follower: Follower, log: Path, later: Callable[[float], None]
    ) -> None:
        log.unlink()
        log.mkdir()
        follower.look()
        later(2)
        follower.look()
        assert follower.problem == f"{log}: it is a folder; what was read of it stays."

    def test_opening_what_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="No such file or directory; give the path"):
            Follower(str(tmp_path / "nothing")).open()

    def test_a_pipe_is_refused_without_waiting_for_a_writer(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with pytest.raises(InputError, match="not an ordinary file"):
            Follower(str(path)).open()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 400), max_size=12), last=st.booleans())
def test_however_it_is_written_every_line_appears_once(tmp_path: Path, cuts: list[int], last: bool) -> None:
    said = [f"{number}: é{'x' * number}" for number in range(8)]
    data = "".join(map(line, said)).encode()
    data = data if last else data.rstrip(b"\n")
    path = tmp_path / "growing.jsonl"
    path.write_bytes(line("first").encode())
    follower = Follower(str(path))
    found = follower.open()
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        with path.open("ab") as file:
            file.write(data[at:cut])
        at = max(at, cut)
        found = follower.look() or found
    assert texts(found) == ["first", *said]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_database_is_asked_again_when_it_has_changed_and_its_session_stays(
    tmp_path: Path, journal: str
) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.executescript(OLD)
        session(database, "s1", 1000.0, "Where do I live?", "In Lyon.")
        follower = Follower(str(path))
        assert texts(follower.open()) == ["Where do I live?", "In Lyon."]
        follower.look()
        assert follower.look() is None
        session(database, "s2", 2000.0, "Another one.")
        said = {"role": "user", "content": "And now?", "timestamp": 1002.0}
        insert(database, "messages", session_id="s1", **said)
        assert texts(follower.look()) == ["Where do I live?", "In Lyon.", "And now?"]


def test_a_database_that_was_locked_is_asked_again_though_nothing_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memscope.conversation.readers.hermes_database._PATIENCE", 0.0)
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(OLD)
        session(database, "s1", 1000.0, "Where do I live?")
        follower = Follower(str(path))
        follower.open()
        insert(database, "messages", session_id="s1", role="assistant", content="In Lyon.", timestamp=1002.0)
        database.execute("BEGIN EXCLUSIVE")
        assert follower.look() is None
        database.execute("ROLLBACK")
        assert texts(follower.look()) == ["Where do I live?", "In Lyon."]
