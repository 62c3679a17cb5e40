"""Every layout of chat messages reads as the same conversation."""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers import read_conversation
from tests.conversation.messages import LAYOUTS, Message, conversations, parse, parse_one


def expected(message: Message) -> dict[str, Any]:
    """What an entry must say of a message, worked out without the reader."""
    content = message.get("content") or ""
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    calls = [
        (call["function"]["name"], json.loads(json.dumps(call["function"]["arguments"])), call["id"])
        for call in message.get("tool_calls", ())
    ]
    return {"role": message["role"], "text": text, "calls": calls, "key": message.get("memory_key")}


def found(entry: Entry) -> dict[str, Any]:
    calls = [(call.name, json.loads(call.arguments), call.id) for call in entry.tool_calls]
    return {"role": entry.role.value, "text": entry.text, "calls": calls, "key": entry.memory_key}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(messages=conversations)
def test_any_messages_read_the_same_from_each_layout(layout: str, messages: list[Message]) -> None:
    conversation = parse(LAYOUTS[layout](messages))

    assert [found(entry) for entry in conversation.entries] == [expected(message) for message in messages]
    assert conversation.source.notes == ()


def test_a_byte_order_mark_is_no_part_of_the_conversation() -> None:
    assert parse(b'\xef\xbb\xbf[{"role": "user", "content": "hi"}]').entries[0].text == "hi"


def test_unicode_line_separators_end_no_line() -> None:
    text = "one\u2028two\u2029three\x85four"

    conversation = parse(json.dumps({"role": "user", "content": text}, ensure_ascii=False) + "\n")

    assert [entry.text for entry in conversation.entries] == [text]


def test_a_single_message_over_several_lines_is_read() -> None:
    assert parse('{\n "role": "user",\n "content": "hi"\n}\n').entries == (Entry(Role.USER, "hi"),)


@pytest.mark.parametrize(("role", "read"), [("developer", Role.SYSTEM), ("function", Role.TOOL)])
def test_other_names_of_a_role_are_known(role: str, read: Role) -> None:
    assert parse_one(role=role, content="x").entries[0].role is read


def test_parts_that_are_not_text_are_ignored() -> None:
    parts = [
        "a",
        {"type": "text", "text": "b"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "reasoning", "text": "not said"},
        {"type": "input_text", "text": "c"},
        {"type": "output_text", "text": "d"},
        {"text": "e"},
        {"type": "text"},
    ]

    assert parse_one(role="user", content=parts).entries[0].text == "abcde"


def test_tool_calls_are_part_of_a_response() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}

    conversation = parse_one(role="assistant", content=None, tool_calls=[call])

    assert conversation.entries[0].tool_calls == (ToolCall("f", '{"a": 1}', "1"),)
    assert conversation.responses == (0,)


def test_a_function_call_is_a_tool_call_without_an_id() -> None:
    entry = parse_one(role="assistant", function_call={"name": "f", "arguments": "{}"}).entries[0]

    assert entry.tool_calls == (ToolCall("f", "{}"),)


@pytest.mark.parametrize(
    ("arguments", "text"), [({"b": [1, "é"]}, '{"b":[1,"é"]}'), ("not JSON", "not JSON"), (None, "{}")]
)
def test_arguments_are_kept_as_json_text(arguments: Any, text: str) -> None:
    calls = [{"function": {"name": "f", "arguments": arguments}}]

    assert parse_one(role="assistant", tool_calls=calls).entries[0].tool_calls[0].arguments == text


def test_what_a_tool_answers_keeps_its_call_and_name() -> None:
    entry = parse_one(role="tool", content="42", tool_call_id="1", name="f").entries[0]

    assert (entry.tool_call_id, entry.name) == ("1", "f")


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"), (1700000000.5, "1700000000.5"), (None, None)],
)
def test_timestamps_are_kept_as_text(timestamp: Any, text: str | None) -> None:
    assert parse_one(role="user", content="x", timestamp=timestamp).entries[0].timestamp == text


@pytest.mark.parametrize("field", ["memory_key", "timestamp"])
def test_a_log_with_the_native_fields_is_called_native(field: str) -> None:
    line = json.dumps({"role": "user", "content": "x", field: "y"})

    assert parse(line + '\n{"role": "user"}\n').source.format == "native"
    assert parse(line).source.format == "native"


@pytest.mark.parametrize("data", ['[{"role": "user"}]', '{"role": "user"}\n{"role": "user"}\n'])
def test_other_messages_are_called_openai(data: str) -> None:
    assert parse(data).source.format == "openai"


def test_a_file_is_named_by_its_path_and_titled_without_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "trip planner.jsonl"
    path.write_text('{"role": "user", "content": "hi"}\n')

    source = read_conversation(str(path)).source

    assert (source.path, source.title) == (str(path), "trip planner")


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[{"role": "user", "content": "hi"}]')))

    conversation = read_conversation("-")

    assert conversation.entries[0].text == "hi"
    assert conversation.source.path == "standard input"


def test_a_line_of_20_megabytes_is_read_in_seconds() -> None:
    text = "peanut sauce " * 1_600_000
    began = time.process_time()

    conversation = parse(json.dumps({"role": "user", "content": text}) + '\n{"role": "assistant"}\n')

    assert conversation.entries[0].text == text
    assert time.process_time() - began < 10


@pytest.mark.parametrize("text", ["[/red][bold]x", "\x1b]0;title\x07\x1b[2J", "a\rb\x00c", "{{ x }}{% y %}"])
def test_markup_and_terminal_escapes_are_only_data(text: str) -> None:
    conversation = parse_one(role="user", content=text, memory_key=text)

    assert conversation.entries[0].text == text
    assert conversation.memories[0].key == text
