"""Sessions of Hermes as JSON documents and as lines."""

import json
from typing import Any

import pytest

from memscope.conversation.model import Conversation, Entry, Role, ToolCall
from memscope.errors import InputError
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

CALL = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"command":"pwd"}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "Where are we?", "message_id": "7"},
    {"role": "assistant", "content": "I'll look.", "reasoning": "A look-up.", "tool_calls": [CALL]},
    {"role": "tool", "content": "/repo", "tool_call_id": "c1", "tool_name": "shell"},
    {"role": "assistant", "content": "In /repo.", "finish_reason": "stop"},
]
SESSION = {"session_id": "s1", "model": "gpt-5", "platform": "cli", "session_start": "2026-04-29T20:05:00Z"}
ENTRIES = (
    Entry(Role.USER, "Where are we?"),
    Entry(Role.ASSISTANT, "I'll look.", tool_calls=(ToolCall("shell", '{"command":"pwd"}', "c1"),)),
    Entry(Role.TOOL, "/repo", tool_call_id="c1", name="shell"),
    Entry(Role.ASSISTANT, "In /repo."),
)
PROMPT = Entry(Role.SYSTEM, "You are Hermes.")


def read(messages: list[dict[str, Any]] = MESSAGES, **session: Any) -> Conversation:
    return parse(json.dumps({**SESSION, **session, "messages": messages}, indent=1))


def test_messages_are_entries_and_reasoning_is_none() -> None:
    assert read().entries == ENTRIES


def test_the_system_prompt_comes_first() -> None:
    assert read(system_prompt="You are Hermes.").entries == (PROMPT, *ENTRIES)


def test_a_system_prompt_that_the_messages_begin_with_is_there_once() -> None:
    messages = [{"role": "system", "content": "You are Hermes.\n"}, *MESSAGES]
    assert [entry.role for entry in read(messages, system_prompt="You are Hermes.").entries[:2]] == [
        Role.SYSTEM,
        Role.USER,
    ]


def test_who_spoke_and_where_is_known() -> None:
    source = read(cwd="/repo").source
    assert (source.format, source.agent, source.author) == ("hermes", "Hermes", "gpt-5")
    assert (source.folder, source.title) == ("/repo", "Where are we?")
    assert source.missing == "the system prompt and the tools"
    assert read(system_prompt="You are Hermes.").source.missing == "the tools"


def test_the_folder_may_stand_with_the_models_configuration() -> None:
    assert read(model_config={"cwd": "/work"}).source.folder == "/work"


def test_a_title_that_the_file_gives_is_kept() -> None:
    assert read(title="A walk").source.title == "A walk"


def test_messages_of_unknown_roles_are_passed_over() -> None:
    more = [{"role": "session_meta"}, *MESSAGES, {"role": "of the future", "content": 5}]
    assert read(more).entries == ENTRIES


def test_what_was_sent_to_the_model_counts_rather_than_what_was_shown() -> None:
    sent = '<memory key="city">Lyon</memory> Where are we?'
    conversation = read([{**MESSAGES[0], "api_content": sent}, *MESSAGES[1:]])
    assert [memory.key for memory in conversation.memories] == ["city"]


def test_a_message_that_cannot_be_read_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"^log: Line \d+, messages\[1\]: field `content`: expected "):
        read([MESSAGES[0], {"role": "user", "content": 5}])


def test_a_header_of_odd_shape_tells_nothing() -> None:
    assert read(model=5, title=[], cwd={}, model_config="x").source.author == ""


def test_lines_after_a_header_read_like_the_document() -> None:
    lines = [{"role": "session_meta", "model": "gpt-5", "tools": []}, *MESSAGES]
    conversation = parse("".join(json.dumps(line) + "\n" for line in lines))
    assert (conversation.source.format, conversation.source.author) == ("hermes", "gpt-5")
    assert conversation.entries == ENTRIES


def test_it_holds_to_what_every_format_promises() -> None:
    header = {"role": "session_meta", "model": "gpt-5", "system_prompt": "You are Hermes."}
    assert check_format([json.dumps(line).encode() for line in (header, *MESSAGES)]).entries[0] == PROMPT
