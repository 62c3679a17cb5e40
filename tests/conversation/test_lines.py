"""Files read line by line as they come: in any portions, at any time, in little time."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Branch, Entry, Role
from memscope.conversation.readers import FORMATS, Reading
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.errors import InputError
from tests.conversation.messages import LAYOUTS, Message, conversations
from tests.conversation.properties import check_format, lines, read, read_in_portions, read_or_refused

LINE = b'{"role": "user", "content": "hi"}'
LOG = [
    b'{"role": "system", "content": "You plan trips.", "timestamp": "2026-01-31T10:00:00Z"}',
    b'{"role": "system", "content": "Lives in Lyon.", "memory_key": "home"}',
    '{"role": "user", "content": "Où est-ce ?"}'.encode(),
    b'{"role": "assistant", "content": "<think>a</think> Lyon.", '
    b'"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}]}',
    b'{"role": "tool", "content": [{"type": "text", "text": "42"}], "tool_call_id": "1"}',
]


class Notes(Format):
    """A format for these tests: `{"kind": "note", "text": ...}`, told apart by a header anywhere in the file;
    `{"kind": "fork", "id": ...}` begins a branch."""

    name: ClassVar[str] = "notes"

    def __init__(self) -> None:
        self._draft = Draft(agent="noter")
        self._branches: dict[str, list[Entry]] = {}

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        return bool(record["kind"] == "header")

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        notes = document["notes"]
        return notes if isinstance(notes, list) else None

    def add(self, record: JsonObject) -> None:
        if record.get("kind") == "note":
            self._draft.entries.append(Entry(Role.USER, record["text"].strip()))
        elif record.get("kind") == "fork":
            self._branches[record["id"]] = list(self._draft.entries)

    def draft(self, branch: str | None = None) -> Draft:
        self._draft.branches = tuple(Branch(key, key, len(e)) for key, e in self._branches.items())
        if branch in self._branches:
            return Draft(self._branches[branch], branches=self._draft.branches, branch=branch)
        return self._draft


BOTH: tuple[type[Format], ...] = (Notes, *FORMATS)
NOTES = [
    b'{"kind": "note", "text": "one"}',
    b'{"kind": "header"}',
    b'{"kind": "fork", "id": "a"}',
    b'{"kind": "note", "text": "two"}',
]


def test_messages_hold_to_what_every_format_must() -> None:
    assert len(check_format(LOG).entries) == len(LOG)


class TestFormats:
    """Which format a file is of, and what becomes of records before that is known."""

    def test_a_record_anywhere_decides_and_the_earlier_ones_are_read_with_it(self) -> None:
        conversation = read(lines(NOTES), BOTH)

        assert [entry.text for entry in conversation.entries] == ["one", "two"]
        assert (conversation.source.format, conversation.source.agent) == ("notes", "noter")
        assert conversation.source.notes == ()

    def test_damaged_lines_before_it_are_noted_once_and_in_order(self) -> None:
        conversation = read(lines([b"x", NOTES[0], b"y", NOTES[1], b"z"]), BOTH)

        assert [note.split(" was")[0] for note in conversation.source.notes] == ["line 1", "line 3", "line 5"]

    def test_a_claim_decides_even_after_the_conversation_was_looked_at(self) -> None:
        assert read_in_portions([line + b"\n" for line in NOTES], BOTH, looking=True) == read(
            lines(NOTES), BOTH
        )

    def test_a_record_of_an_odd_shape_is_left_out_whatever_the_format_raises(self) -> None:
        odd = [b'{"kind": "note"}', b'{"kind": "note", "text": 5}']

        *_, first, second = read(lines([*NOTES, *odd]), BOTH).source.notes

        assert first == "line 5 was left out: it is not as notes writes it (KeyError('text'))"
        assert second.startswith("line 6 was left out: it is not as notes writes it (AttributeError(")

    def test_a_document_goes_to_the_first_that_unpacks_it(self) -> None:
        data = json.dumps({"notes": [json.loads(line) for line in NOTES]})

        for text in (data, data + "\n", json.dumps(json.loads(data), indent=1)):
            assert [entry.text for entry in read(text.encode(), BOTH).entries] == ["one", "two"]
        assert read(json.dumps([{"role": "user"}]).encode(), BOTH).source.format == "openai"

    def test_a_wrong_record_in_a_document_has_its_line_and_field(self) -> None:
        with pytest.raises(InputError, match=r"^log: Line 3, notes\[1\]: it is not as notes writes it"):
            read(b'{"notes": [\n{"kind": "note", "text": "a"},\n{"kind": "note"}\n]}', BOTH)

    def test_a_branch_is_read_by_its_id_and_another_one_refused(self) -> None:
        reading = Reading(BOTH, "log", "log")
        reading.feed(lines(NOTES))

        assert [entry.text for entry in reading.conversation("a").entries] == ["one"]
        assert reading.conversation("a").source.branch == "a"
        assert len(reading.conversation().entries) == 2
        with pytest.raises(InputError, match=r"^log has no branch 'b'; it has only a \(a\)\.$"):
            reading.conversation("b")


class TestFollowing:
    """A file that grows while it is read."""

    def test_half_a_line_waits_for_the_rest(self) -> None:
        reading = Reading(FORMATS, "log", "log")
        reading.feed(LINE + b"\n" + LINE[:20])

        assert len(reading.conversation().entries) == 1
        assert reading.conversation().source.notes == ()
        reading.feed(LINE[20:] + b"\n")
        assert len(reading.conversation().entries) == 2

    def test_an_empty_file_becomes_a_conversation(self) -> None:
        reading = Reading(FORMATS, "log", "log")

        with pytest.raises(InputError, match=r"^log is empty"):
            reading.conversation()
        reading.feed(LINE)
        assert len(reading.conversation().entries) == 1
        reading.feed(b"\n" + LINE + b"\n")
        assert len(reading.conversation().entries) == 2

    @pytest.mark.parametrize("layout", LAYOUTS)
    @given(messages=conversations, data=st.data())
    def test_any_layout_in_portions_reads_as_at_once(
        self, layout: str, messages: list[Message], data: Any
    ) -> None:
        whole = b"\xef\xbb\xbf" + LAYOUTS[layout](messages).encode()
        edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6))), len(whole)]
        portions = [whole[start:end] for start, end in pairwise(edges)]

        assert read_in_portions(portions, looking=data.draw(st.booleans())) == read(whole)

    @given(st.binary(max_size=60) | st.text('{}[]",:\n 1', max_size=60).map(str.encode), st.data())
    def test_any_bytes_in_portions_read_as_at_once(self, whole: bytes, data: Any) -> None:
        cut = data.draw(st.integers(0, len(whole)))
        conversation = read_or_refused(whole)

        if conversation is not None:
            assert read_in_portions([whole[:cut], whole[cut:]], looking=True) == conversation


def growing(count: int) -> Iterator[bytes]:
    return (b'{"role": "user", "content": "line %d"}\n' % number for number in range(count))


def in_portions(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


LARGE: dict[str, tuple[Callable[[], Iterator[bytes]], int]] = {
    "60,000 lines one by one": (lambda: growing(60_000), 60_000),
    "a document in portions of 64 bytes": (
        lambda: in_portions(json.dumps([json.loads(line) for line in growing(100_000)]).encode(), 64),
        100_000,
    ),
    "an indented document in portions": (
        lambda: in_portions(
            json.dumps({"messages": [json.loads(line) for line in growing(100_000)]}, indent=1).encode(), 64
        ),
        100_000,
    ),
    "a long first line in portions": (
        lambda: in_portions(json.dumps({"role": "user", "content": "x" * 20_000_000}).encode() + b"\n", 64),
        1,
    ),
    "a long damaged line in portions": (lambda: in_portions(LINE + b"\n{" + b"x" * 20_000_000, 64), 1),
    "lines that nobody claims": (
        lambda: iter([b'{"type": "x"}\n' * 200_000 + LINE + b"\n"]),
        1,
    ),
    "damaged lines": (lambda: iter([LINE + b"\n" + b"garbage\n" * 200_000]), 1),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_file_is_read_in_seconds(case: str) -> None:
    portions, entries = LARGE[case]
    given_portions = list(portions())
    began = time.process_time()

    conversation = read_in_portions(given_portions)

    assert len(conversation.entries) == entries
    assert time.process_time() - began < 10


def test_looking_now_and_then_while_a_file_grows_takes_seconds() -> None:
    reading = Reading(FORMATS, "log", "log")
    began = time.process_time()

    for number, line in enumerate(growing(20_000)):
        reading.feed(line)
        if number % 200 == 0:
            reading.conversation()

    assert time.process_time() - began < 10
