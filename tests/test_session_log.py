"""The log an agent writes: whole lines whoever else writes, readable at every moment, never in its way."""

import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import memscope
from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation, Entry, Role, ToolCall
from memscope.conversation.readers import FORMATS, Reading, read_conversation
from memscope.errors import InputError
from memscope.session_log import SessionLog
from tests.test_imports import HEAVY, imported_by


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.jsonl"


def read(path: Path) -> Conversation:
    return read_conversation(str(path))


def said(conversation: Conversation) -> list[str]:
    return [entry.text for entry in conversation.entries]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


class TestLines:
    """What stands in the log."""

    def test_each_method_is_an_entry_of_its_kind(self, path: Path) -> None:
        with SessionLog(path) as log:
            log.system("You plan trips.")
            log.memory("home/city", "Nora lives in Bergen.")
            log.user("Where do I start?")
            log.assistant(None, [{"id": "c1", "function": {"name": "map", "arguments": '{"of": "Bergen"}'}}])
            log.tool("map", "By the sea.", "c1")
            log.assistant("You start from Bergen.")
        conversation = read(path)
        assert conversation.source.format == "native"
        assert conversation.source.notes == ()
        assert [(entry.role, entry.text) for entry in conversation.entries] == [
            (Role.SYSTEM, "You plan trips."),
            (Role.SYSTEM, "Nora lives in Bergen."),
            (Role.USER, "Where do I start?"),
            (Role.ASSISTANT, ""),
            (Role.TOOL, "By the sea."),
            (Role.ASSISTANT, "You start from Bergen."),
        ]
        assert [(memory.key, memory.entries) for memory in conversation.memories] == [("home/city", (1,))]
        assert conversation.responses == (3, 5)
        call, answer = conversation.entries[3:5]
        assert call.tool_calls == (ToolCall("map", '{"of": "Bergen"}', "c1"),)
        assert (answer.name, answer.tool_call_id) == ("map", "c1")

    def test_every_line_has_its_time_in_utc_and_times_never_go_back(self, path: Path) -> None:
        log = SessionLog(path)
        for number in range(5):
            log.user(str(number))
        times = [line["timestamp"] for line in lines(path)]
        assert all(time.endswith("+00:00") for time in times)
        assert times == sorted(times)

    def test_a_log_is_gone_on_with(self, path: Path) -> None:
        SessionLog(path).user("one")
        SessionLog(path).user("two")
        assert said(read(path)) == ["one", "two"]

    def test_a_new_log_is_its_owners_alone(self, path: Path) -> None:
        SessionLog(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_line_is_there_when_the_method_returns(self, path: Path) -> None:
        log = SessionLog(path)
        log.user("one")
        assert said(read(path)) == ["one"]

    def test_a_relative_path_stays_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        log = SessionLog("agent.jsonl")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        log.user("one")
        assert said(read(tmp_path / "agent.jsonl")) == ["one"]


def without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


any_text = st.text(max_size=60) | st.text(st.characters(), max_size=20) | st.text("\ud800\udc00a", max_size=5)


class TestContent:
    """Any content comes back, and none raises."""

    @given(st.lists(any_text, min_size=1), any_text)
    @example(["\u2028\r\n\x00\x1b[31m"], "key\nof two lines\r")
    @example(["\ud83d\ude00 and \ud83d"], "\udc00")
    def test_any_text_comes_back(self, texts: list[str], key: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "agent.jsonl"
            log = SessionLog(path)
            for text in texts:
                log.user(text)
                log.memory(key, text)
            log.tool(key, texts[0], key)
            conversation = read(path)
        assert conversation.source.notes == ()
        expected = [without_lone_surrogates(text) for text in texts]
        assert said(conversation) == [text for one in expected for text in (one, one)] + [expected[0]]
        keys = {entry.memory_key for entry in conversation.entries if entry.memory_key is not None}
        assert keys == {without_lone_surrogates(key) if key.strip() else "unnamed"}
        assert conversation.entries[-1].name == without_lone_surrogates(key)

    def test_a_surrogate_pair_is_the_character_it_stands_for(self, path: Path) -> None:
        SessionLog(path).user("\ud83d\ude00 \ud83d")
        assert said(read(path)) == ["😀 \ufffd"]

    def test_tool_calls_are_taken_in_any_form(self, path: Path) -> None:
        class Dumped:
            """As the OpenAI client gives them."""

            def model_dump(self) -> dict[str, Any]:
                return {"id": "c1", "type": "function", "function": {"name": "map", "arguments": "{}"}}

        circle: dict[str, Any] = {}
        circle["again"] = circle
        log = SessionLog(path)
        for call in (
            Dumped(),
            {"name": "map", "arguments": {"of": ("Bergen", 2), 3: float("nan"), "id": 10**40}, "id": 7},
            {"name": "map", "arguments": circle},
            {"name": "map", "arguments": {"path": Path("a"), "bad": "\ud800", "huge": 10**5000}},
            {"name": None},
            "map()",
        ):
            log.assistant(None, [call])
        conversation = read(path)
        assert conversation.source.notes == ()
        calls = [call for entry in conversation.entries for call in entry.tool_calls]
        assert [call.name for call in calls] == ["map"] * 4 + ["unknown"] * 2
        assert calls[0] == ToolCall("map", "{}", "c1")
        assert calls[1].id == "7"
        assert json.loads(calls[1].arguments) == {"of": ["Bergen", 2], "3": "nan", "id": str(10**40)}
        assert json.loads(calls[3].arguments)["path"] == "a"
        assert calls[5].arguments == "map()"

    def test_what_is_no_text_is_written_as_text(self, path: Path) -> None:
        class Unspeakable:
            def __str__(self) -> str:
                raise RuntimeError

        log = SessionLog(path)
        values: list[Any] = [3, None, b"\xff", Unspeakable()]
        for value in values:
            log.user(value)
        assert said(read(path))[:3] == ["3", "", r"b'\xff'"]
        assert "Unspeakable" in said(read(path))[3]


WRITER = """
import sys
from memscope import SessionLog
log = SessionLog(sys.argv[1])
for number in range(1000):
    if number in (0, 500):
        sys.stdin.readline()
    log.user(f"{sys.argv[2]} {number} " + "æ" * (number % 300))
"""
"""Begins when it is told to, and waits in the middle until it is told to go on."""


class TestWriters:
    """Several at once, and readers between them."""

    def test_two_processes_lose_and_mix_nothing_and_a_reader_sees_whole_lines_only(self, path: Path) -> None:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), name], stdin=PIPE, text=True, bufsize=1
            )
            for name in "ab"
        ]

        def tell_all(word: str) -> None:
            for writer in writers:
                assert writer.stdin is not None
                writer.stdin.write(f"{word}\n")

        SessionLog(path).system("You count.")
        reading, counts = Reading(FORMATS, "agent", "agent"), [0]
        tell_all("begin")
        with path.open("rb") as file:
            while any(writer.poll() is None for writer in writers):
                reading.feed(file.read())
                conversation = reading.conversation()
                assert conversation.source.notes == ()
                counts.append(len(conversation.entries))
                if counts[-2] < 500 <= counts[-1]:
                    tell_all("go on")
            reading.feed(file.read())
        for writer in writers:
            with writer:
                assert writer.wait() == 0
        assert counts == sorted(counts)
        assert any(0 < count < 2001 for count in counts)
        assert reading.conversation().entries == read(path).entries
        for name in "ab":
            numbers = [text.split()[1] for text in said(read(path)) if text.startswith(f"{name} ")]
            assert numbers == [str(number) for number in range(1000)]

    def test_threads_share_one(self, path: Path) -> None:
        log = SessionLog(path)

        def write(name: str) -> None:
            for number in range(200):
                log.user(f"{name} {number}")

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        texts = said(read(path))
        assert len(texts) == 800
        for name in "abcd":
            assert [text for text in texts if text.startswith(name)] == [f"{name} {n}" for n in range(200)]

    def test_a_write_that_the_system_cuts_short_is_finished(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = SessionLog(path)
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
        log.user("a line that is much longer than that")
        assert said(read(path)) == ["a line that is much longer than that"]

    def test_a_log_that_is_deleted_or_replaced_is_begun_anew_where_readers_look(self, path: Path) -> None:
        log = SessionLog(path)
        log.user("one")
        follower = Follower(str(path))
        assert said(follower.open()) == ["one"]
        path.rename(path.with_name("agent.1.jsonl"))
        log.user("two")
        path.replace(path.with_name("agent.2.jsonl"))
        path.write_text('{"role": "user", "content": "three"}\n')
        log.user("four")
        found = follower.look()
        assert found is not None
        assert said(found) == ["three", "four"]
        assert said(read(path.with_name("agent.2.jsonl"))) == ["two"]


class TestCrashes:
    """Half a line is all that is lost."""

    def test_whatever_is_left_of_the_last_line_nothing_else_is_lost(self, path: Path) -> None:
        log = SessionLog(path)
        for text in ("one", "two", "dréi 😀"):
            log.user(text)
        whole = path.read_bytes()
        last = whole.rindex(b"\n", 0, -1) + 1
        for end in range(last, len(whole) + 1):
            path.write_bytes(whole[:end])
            SessionLog(path).user("four")
            conversation = read(path)
            kept = ["dréi 😀"] if end >= len(whole) - 1 else []
            assert said(conversation) == ["one", "two", *kept, "four"]
            lost = last < end < len(whole) - 1
            assert [note[:20] for note in conversation.source.notes] == ["line 3 was left out:"] * lost

    def test_one_that_another_writer_left_later_is_ended_too(self, path: Path) -> None:
        log = SessionLog(path)
        log.user("one")
        with path.open("ab") as other:
            other.write(b'{"role": "us')
        log.user("two")
        assert said(read(path)) == ["one", "two"]

    def test_one_that_lacks_only_its_line_end_is_not_lost_to_a_follower(self, path: Path) -> None:
        SessionLog(path).user("one")
        path.write_bytes(path.read_bytes().removesuffix(b"\n"))
        follower = Follower(str(path))
        assert said(follower.open()) == ["one"]
        SessionLog(path).user("two")
        found = follower.look()
        assert found is not None
        assert (said(found), found.source.notes) == (["one", "two"], ())


class TestProblems:
    """A log that can't be written is told at the start, and afterwards stops no agent."""

    @pytest.mark.parametrize("name", ["", "missing/agent.jsonl"])
    def test_one_that_can_not_be_begun_is_an_error(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(OSError, match=r"Is a directory|No such file"):
            SessionLog(tmp_path / name)

    def test_what_can_not_be_written_is_kept_and_written_later(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = tmp_path / "logs"
        folder.mkdir()
        path = folder / "agent.jsonl"
        log = SessionLog(path)
        log.user("one")
        path.unlink()
        folder.rmdir()
        log.user("two")
        log.user("three")
        assert log.problem == f"{path} can't be written: No such file or directory."
        assert [record.getMessage() for record in caplog.records] == [log.problem.rstrip(".")]
        folder.mkdir()
        log.close()
        assert log.problem is None
        log.user("four")
        assert said(read(path)) == ["two", "three", "four"]

    def test_a_line_that_a_full_disk_cut_is_written_again_whole(self, path: Path) -> None:
        log = SessionLog(path)
        log.user("one")
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, most))
        try:
            log.user("two")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert log.problem == f"{path} can't be written: File too large."
        log.user("three")
        assert log.problem is None
        conversation = read(path)
        assert said(conversation) == ["one", "two", "three"]
        assert [note[:20] for note in conversation.source.notes] == ["line 2 was left out:"]

    def test_of_too_much_that_waits_the_oldest_is_lost_and_a_reader_says_so(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("memscope.session_log._KEPT", 100)
        log = SessionLog(path)
        path.unlink()
        path.mkdir()
        for text in ("one", "two", "three"):
            log.user(text)
        path.rmdir()
        log.user("four")
        conversation = read(path)
        assert said(conversation) == ["three", "four"]
        assert len(conversation.source.notes) == 1

    def test_an_empty_log_has_no_conversation_yet(self, path: Path) -> None:
        SessionLog(path)
        with pytest.raises(InputError, match="is empty"):
            read(path)


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    modules = imported_by(
        f"import memscope\nmemscope.SessionLog({str(tmp_path / 'agent.jsonl')!r}).user('hello')"
    )
    assert not modules & (HEAVY | {"msgspec", "sqlite3"})
    assert {name for name in modules if name.startswith("memscope.")} == {"memscope.session_log"}
    assert memscope.SessionLog is SessionLog


def test_a_log_reads_like_messages_written_by_hand(path: Path) -> None:
    SessionLog(path).user("hi")
    (entry,) = read(path).entries
    assert entry == Entry(Role.USER, "hi", timestamp=lines(path)[0]["timestamp"])
