"""What the ends of a file tell that is too long to be read whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.library.heads import PORTION, Ends, look, read_ends
from memscope.conversation.library.listed import Listed
from tests.conversation.library.conftest import Machine, chat, lines, long_talk, talk, turn

LONG = "x" * 300_000


def looked(path: Path) -> Listed:
    """What is known of a file."""
    return look(Listed(str(path)), read_ends(str(path)))


def document(path: Path, value: Any, indent: int | None = None) -> Path:
    """A file that is one JSON document."""
    path.write_text(json.dumps(value, indent=indent))
    return path


def test_a_short_file_is_counted_at_once(tmp_path: Path) -> None:
    listed = looked(lines(tmp_path / "a.jsonl", talk("Hi", "Hello", "Thanks")))
    assert (listed.entries, listed.memories, listed.responses) == (3, 0, 1)


def test_of_a_long_file_only_the_ends_are_read_and_nothing_is_counted(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", long_talk("Fix the test"))
    ends = read_ends(str(path))
    assert (len(ends.head), len(ends.tail), ends.whole) == (PORTION, PORTION, False)
    listed = looked(path)
    assert (listed.format, listed.title, listed.folder) == ("claude-code", "Fix the test", "/work/app")
    assert (listed.agent, listed.author) == ("Claude Code", "claude-x")
    assert (listed.entries, listed.memories, listed.responses) == (None, None, None)


@pytest.mark.parametrize("field", ["summary", "customTitle"])
def test_a_title_at_the_end_of_the_file_is_the_title(tmp_path: Path, field: str) -> None:
    records = [*long_talk("Fix the test"), {"type": "title", field: "A flaky test"}]
    assert looked(lines(tmp_path / "a.jsonl", records)).title == "A flaky test"


def test_a_long_first_message_gives_the_title_as_far_as_it_is_read(tmp_path: Path) -> None:
    listed = looked(lines(tmp_path / "a.jsonl", chat("Read this: " + LONG, "No")))
    assert listed.title.startswith("Read this: xxx")
    assert listed.format == "openai"


def test_a_very_long_line_of_a_known_format_is_recognised(tmp_path: Path) -> None:
    records = [{"type": "session_meta", "payload": {"cwd": "/work/app", "instructions": LONG}}]
    listed = looked(lines(tmp_path / "a.jsonl", records))
    assert (listed.format, listed.folder, listed.problem) == ("codex", "/work/app", "")


def test_lines_after_a_very_long_one_tell_the_format(tmp_path: Path) -> None:
    records = [turn(0, "user", LONG), *long_talk("Next", size=200_000)[1:]]
    listed = looked(lines(tmp_path / "a.jsonl", records))
    assert (listed.format, listed.folder, listed.problem) == ("claude-code", "/work/app", "")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_long_document_is_recognised_by_its_beginning(tmp_path: Path, indent: int | None) -> None:
    messages = [{"type": "user", "id": str(at), "content": f"Say {at} " + "x" * 5000} for at in range(100)]
    path = tmp_path / "session-a.json"
    document(path, {"sessionId": "g", "projectHash": "0", "messages": messages}, indent)
    listed = looked(path)
    assert (listed.format, listed.entries, listed.problem) == ("gemini", None, "")
    assert listed.title.startswith("Say 0 xxx")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_long_list_of_messages_is_recognised(tmp_path: Path, indent: int | None) -> None:
    listed = looked(document(tmp_path / "a.json", chat("Hi", LONG, "Thanks"), indent))
    assert (listed.title, listed.problem) == ("Hi", "")


@pytest.mark.parametrize("value", [{"name": LONG}, [LONG], [1] * 100_000, {"a": {"b": [LONG]}}])
def test_a_long_document_of_another_kind_is_none(tmp_path: Path, value: Any) -> None:
    listed = looked(document(tmp_path / "a.json", value))
    assert listed.problem == (
        "a.json does not begin as a conversation does; give a file with a conversation."
    )


@given(st.binary(max_size=400), st.binary(max_size=400), st.booleans())
def test_any_bytes_are_survived(head: bytes, tail: bytes, whole: bool) -> None:
    look(Listed("a.jsonl"), Ends(head, b"" if whole else tail, whole))


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_ends_may_be_cut_anywhere(head: int, tail: int) -> None:
    data = "".join(
        json.dumps(record) + "\n" for record in talk("Héllo", "wörld", "👩‍🚀" * 30, '\\"x')
    ).encode()
    listed = look(Listed("a.jsonl"), Ends(data[:head], data[-tail:], whole=False))
    assert listed.problem or listed.format in ("claude-code", "openai")


def test_titles_are_short_and_have_no_lone_surrogates(machine: Machine) -> None:
    path = machine.claude("a.jsonl", talk("x", "y"))
    path.write_text(path.read_text().replace('"x"', '"' + "y" * 5000 + '"'))
    assert len(machine.listed().title) == 200
