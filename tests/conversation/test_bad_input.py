"""What can't be read is told in one sentence, with the line and the field where it broke."""

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Conversation
from memscope.conversation.readers import FORMATS, read_conversation
from memscope.errors import InputError
from tests.conversation.messages import LAYOUTS, Message, conversations, parse, parse_one

GOOD = b'{"role": "user", "content": "hi"}'
HALF = re.compile(r"line \d+ seems half written and was left out: ")


def refusal(data: str | bytes) -> str:
    """The sentence that says why `data` can't be read, without the file's name."""
    with pytest.raises(InputError) as caught:
        parse(data)
    sentence = str(caught.value)
    assert sentence.startswith("log")
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence.removeprefix("log: ")


def left_out(data: bytes, entries: int) -> list[str]:
    """The notes on what was left out of `data`, of which so many entries are left."""
    conversation = parse(data)
    assert len(conversation.entries) == entries
    return list(conversation.source.notes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: No such file or directory; give the path of a"):
        read_conversation(str(tmp_path / "nowhere.json"))


def test_a_folder_is_no_conversation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r": it is a folder; give the path of a conversation file\."):
        read_conversation(str(tmp_path))


def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InputError, match="it is not an ordinary file"):
        read_conversation(str(tmp_path / "pipe"))


def test_a_device_is_refused() -> None:
    with pytest.raises(InputError, match="it is not an ordinary file"):
        read_conversation("/dev/zero")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\udcff"])
def test_a_path_that_no_file_can_have_is_one_sentence(path: str) -> None:
    with pytest.raises(InputError, match="; give the path of a conversation file"):
        read_conversation(path)


@pytest.mark.parametrize("data", [b"", b" \n\r\n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_is_called_empty(data: bytes) -> None:
    assert refusal(data) == "log is empty; give a file with a conversation."


@pytest.mark.parametrize("data", ["[]", '{"messages": []}'])
def test_a_list_without_messages_says_so(data: str) -> None:
    assert "holds no messages" in refusal(data)


def test_text_that_is_not_json_is_refused_at_its_line() -> None:
    problem = refusal("Hello there\nHow are you\n")

    assert re.fullmatch(r"Line 1: not valid JSON \(.*\); memscope reads chat messages in JSON.*\.", problem)


def test_a_broken_json_document_names_the_line_where_it_broke() -> None:
    assert refusal('[\n  {"role": "user",\n   "content" "hi"}\n]').startswith("Line 3: not valid JSON")


def test_a_document_cut_off_names_its_last_line() -> None:
    assert refusal('{"messages": [\n{"role": "user"},\n').startswith("Line 2: not valid JSON")


@pytest.mark.parametrize(
    "half",
    [b'{"role": "assistant", "content": "I', b'{"role"', b"{", b'{"content": "\xe2\x82', b'{"a": "\\ud8'],
)
def test_half_a_last_line_is_left_out_with_a_note(half: bytes) -> None:
    conversation = parse(GOOD + b"\n\n" + GOOD + b"\n" + half)

    assert len(conversation.entries) == 2
    assert len(conversation.source.notes) == 1
    assert conversation.source.notes[0].startswith("line 4 seems half written and was left out")


def test_a_whole_last_line_needs_no_line_end() -> None:
    conversation = parse(GOOD + b"\n" + GOOD)

    assert (len(conversation.entries), conversation.source.notes) == (2, ())


def test_a_damaged_last_line_that_is_ended_is_left_out() -> None:
    (note,) = left_out(GOOD + b'\n{"role": "us\n', 1)

    assert note.startswith("line 2 was left out: not valid JSON (")


def test_half_a_line_alone_is_an_error() -> None:
    assert refusal(b'{"role": "us').startswith("Line 1: not valid JSON")


@pytest.mark.parametrize("damaged", [b'{"role": "user", "content": }', b"garbage", b'{"role": "user"'])
def test_a_damaged_line_is_left_out_and_named(damaged: bytes) -> None:
    (note,) = left_out(b"\n".join([GOOD, b"", damaged, GOOD, b""]), 2)
    (first,) = left_out(b"\n".join([damaged, GOOD, b""]), 1)

    assert note.startswith("line 3 was left out: not valid JSON (")
    assert first.startswith("line 1 was left out: not valid JSON (")


def test_three_damaged_lines_are_named_and_the_others_counted() -> None:
    *named, rest = left_out(GOOD + b"\n" + b"x\n" * 3 + GOOD + b"\n" + b"x\n" * 1500, 2)

    assert [note.partition(" was left out: ")[0] for note in named] == ["line 2", "line 3", "line 4"]
    assert rest == "1,500 more lines were left out, the last of them line 1505"
    assert left_out(GOOD + b"\n" + b"x\n" * 4, 1)[3] == "1 more line was left out, line 5"


def test_half_a_last_line_is_told_beside_the_damaged_ones() -> None:
    *_, rest, half = left_out(GOOD + b"\n" + b"x\n" * 5 + b'{"role', 1)

    assert rest == "2 more lines were left out, the last of them line 6"
    assert half.startswith("line 7 seems half written and was left out: ")


def test_where_every_line_is_damaged_the_first_one_is_the_error() -> None:
    assert refusal(b'{"role": "robot"}\n{"role": 1}\n').startswith("Line 1: field `role` is 'robot'; it must")
    assert refusal(b'{"role": 1}\n' * 5).startswith("Line 1: field `role`: expected `str`, got `int`")


@pytest.mark.parametrize("separator", [b"\n", b"\r\n"])
def test_invalid_utf8_is_named_with_its_line(separator: bytes) -> None:
    broken = GOOD.replace(b"hi", b"\xff")

    (note,) = left_out(separator.join([GOOD, GOOD, broken, GOOD]), 3)

    assert note == "line 3 was left out: byte 29 is not UTF-8 text"
    assert refusal(b"[" + (b"," + separator).join([GOOD, broken]) + b"]").startswith("Line 2: byte ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (GOOD.decode().encode("utf-16"), "it is UTF-16 text; save it as UTF-8."),
        (gzip.compress(GOOD), "it is compressed (gzip); unpack it and give what is inside."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is a picture; give a file with a conversation."),
        (b"SQLite format 3\0\x10\0", "it is an SQLite database; give a file with a conversation."),
    ],
)
def test_a_file_of_a_well_known_kind_is_called_by_it(data: bytes, problem: str) -> None:
    assert refusal(data) == problem


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"name": "app", "version": "1.0.0"}', "Line 1: the object has neither `role` nor `messages`"),
        (b'{"level": "info"}\n{"level": "warn"}\n', "Line 1: the object has neither `role` nor `messages`"),
        (b"[1, 2, 3]", "Line 1, message[0]: expected `object`, got `int`"),
        (b"1\n2\n", "Line 2: not valid JSON (JSON is malformed: trailing characters (byte 3))"),
        (b"42", "Line 1: expected a list of messages, found a number"),
        (bytes(range(128, 256)), "Line 1: byte 0 is not UTF-8 text"),
        (b"\0\0\0\0", "Line 1: not valid JSON (JSON is malformed: invalid character (byte 0))"),
    ],
)
def test_a_file_in_which_nothing_is_known_tells_what_can_be_read(data: bytes, problem: str) -> None:
    formats = ", ".join(form.name for form in FORMATS[:-1])

    told = f"; memscope reads chat messages in JSON or JSONL, and files of the formats {formats}."
    assert refusal(data) == problem + told


def test_what_can_be_read_is_not_told_where_only_a_message_is_wrong() -> None:
    for data in (b'{"role": "robot"}\n', b'[{"role": "robot"}]', b'{"role": 5, "messages": [{"role": "x"}]}'):
        assert "memscope reads" not in refusal(data)


def test_records_of_another_format_are_left_out_and_counted() -> None:
    codex = b'{"type": "session_meta", "payload": {"cwd": "/"}}'
    reply = b'{"type": "response_item", "payload": {"type": "message", "role": "user", "content": "hi"}}'

    *named, rest = left_out(b"\n".join([GOOD, *[codex] * 5, GOOD, b""]), 2)
    (other,) = left_out(b"\n".join([codex, reply, GOOD, reply, b""]), 2)

    assert named[0] == "line 2 was left out: it is of the format codex, the lines before it are openai"
    assert rest == "2 more lines were left out, the last of them line 6"
    assert other == "line 3 was left out: it is of the format openai, the lines before it are codex"


def test_half_a_surrogate_pair_is_not_valid_json() -> None:
    assert "not valid JSON" in refusal('[{"role": "user", "content": "\\ud800 x"}]')


WRONG: list[tuple[Message, str]] = [
    ({"content": "x"}, "the object has neither `role` nor `messages`"),
    ({"role": 1}, "field `role`: expected `str`, got `int`"),
    ({"role": None}, "field `role`: expected `str`, got `null`"),
    ({"role": "robot"}, "field `role` is 'robot'; it must be system, user, assistant or tool"),
    ({"role": "\x1b[2J" + "x" * 100}, r"field `role` is '\x1b[2Jxxx"),
    ({"role": "user", "content": 5}, "field `content`: expected"),
    ({"role": "user", "content": {"text": "x"}}, "field `content`: expected"),
    ({"role": "user", "content": [1]}, "field `content[0]`: expected"),
    ({"role": "user", "content": [{"type": 3}]}, "field `content[0].type`: expected `str`, got `int`"),
    ({"role": "user", "content": [{"text": []}]}, "field `content[0].text`: expected"),
    ({"role": "assistant", "tool_calls": "f"}, "field `tool_calls`: expected"),
    ({"role": "assistant", "tool_calls": [{}]}, "field `tool_calls[0]`: object missing required field"),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": 1}}]},
        "field `tool_calls[0].function.name`: expected `str`, got `int`",
    ),
    ({"role": "assistant", "function_call": {}}, "field `function_call`: object missing required field"),
    ({"role": "user", "memory_key": 5}, "field `memory_key`: expected `str | null`, got `int`"),
    ({"role": "user", "memory_key": ""}, "field `memory_key` is empty"),
    ({"role": "user", "memory_key": " \n"}, "field `memory_key` is empty"),
    ({"role": "tool", "tool_call_id": 5}, "field `tool_call_id`: expected"),
    ({"role": "tool", "name": []}, "field `name`: expected"),
    ({"role": "user", "timestamp": {}}, "field `timestamp`: expected"),
]


@pytest.mark.parametrize(("message", "problem"), WRONG)
def test_a_wrong_field_is_named_with_its_line(message: Message, problem: str) -> None:
    line = json.dumps(message).encode()

    (note,) = left_out(b"\n".join([GOOD, b"", line, GOOD]), 2)

    assert note.startswith("line 3 was left out: ")
    assert not note.endswith(".")
    assert problem in note
    assert problem in refusal(line)
    assert problem in refusal(b"[" + line + b"]")


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("[\n", "\n]", "Line 4, message[2]: "),
        ('{"model": "m",\n\n"messages": [\n', "]}", "Line 6, messages[2]: "),
    ],
)
def test_a_wrong_field_in_a_document_is_named_with_line_and_message(
    before: str, after: str, place: str
) -> None:
    good = GOOD.decode()

    assert refusal(f'{before}{good},\n{good},\n{{"role": "robot"}}{after}').startswith(place + "field `role`")


@pytest.mark.parametrize("value", ["5", '"text"', "true", "null"])
def test_a_value_that_holds_no_messages_says_what_it_is(value: str) -> None:
    assert refusal(value).startswith("Line 1: expected a list of messages, found ")
    (note,) = left_out(f"{GOOD.decode()}\n{value}\n".encode(), 1)
    assert note.startswith("line 2 was left out: expected an object, found ")
    assert "field `messages` is" in refusal(f'{{"messages": {value}}}')
    assert refusal(f"[{value}]").startswith("Line 1, message[0]: expected `object`, got ")


def test_an_object_without_role_or_messages_says_so() -> None:
    assert refusal('{"content": "hi"}').startswith("Line 1: the object has neither `role` nor `messages`; ")


def test_several_conversations_in_a_file_are_refused() -> None:
    line = '{"messages": [{"role": "user"}]}\n'

    assert refusal(line + line).startswith("Line 1: a whole conversation on one line among others")
    assert refusal(line + "x").startswith("Line 1: a whole conversation on one line among others")


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_wrong_message_in_a_document_on_one_line_is_an_error(end: str) -> None:
    problem = refusal('\n{"messages": [{"role": "user"}, {"role": "robot"}]}' + end)

    assert problem.startswith("Line 2, messages[1]: field `role` is 'robot'")


def test_a_document_with_one_message_on_a_line_is_a_document() -> None:
    data = '{"messages": [\n{"role": "user", "content": "hi"}\n]}\n'

    assert len(parse(data).entries) == 1
    assert parse(data).source.notes == ()


@pytest.mark.parametrize("depth", [*range(900, 1000, 6), 100_000])
def test_deep_nesting_is_read_or_refused(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    call = f'{{"function": {{"name": "f", "arguments": {nested}}}}}'
    for data in (
        nested,
        f'[{{"role": "assistant", "tool_calls": [{call}]}}]',
        f'{{"role": "user", "x": {nested}}}',
    ):
        assert read_or_refused(data.encode())


def read_or_refused(data: bytes) -> Conversation | str:
    """Anything else than these two fails the test."""
    try:
        return parse(data)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(messages=conversations, data=st.data())
def test_a_file_cut_anywhere_reads_or_is_refused(layout: str, messages: list[Message], data: Any) -> None:
    whole = LAYOUTS[layout](messages).encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]

    read = read_or_refused(cut)

    if isinstance(read, Conversation):
        assert read.entries == parse(whole).entries[: len(read.entries)]
        assert all(HALF.match(note) for note in read.source.notes)


@given(messages=conversations, data=st.data())
def test_a_log_cut_in_its_second_line_or_later_loses_only_the_half_line(
    messages: list[Message], data: Any
) -> None:
    lines = [
        json.dumps(message, ensure_ascii=False).encode() + b"\n" for message in [{"role": "user"}, *messages]
    ]
    whole = b"".join(lines)
    cut = whole[: data.draw(st.integers(len(lines[0]), len(whole)))]

    conversation = parse(cut)

    assert len(conversation.entries) >= cut.count(b"\n")
    assert bool(conversation.source.notes) == (len(conversation.entries) < len(cut.splitlines()))


@pytest.mark.parametrize("layout", LAYOUTS)
@given(messages=conversations, data=st.data())
def test_damaged_bytes_read_or_are_refused(layout: str, messages: list[Message], data: Any) -> None:
    whole = bytearray(LAYOUTS[layout](messages).encode())
    if data is not None:
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(whole)))
            whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))

    assert read_or_refused(bytes(whole))


@given(st.binary(max_size=200))
def test_any_bytes_read_or_are_refused(data: bytes) -> None:
    assert read_or_refused(data)


def test_a_message_that_says_nothing_is_an_entry() -> None:
    assert parse_one(role="assistant").entries[0].text == ""
