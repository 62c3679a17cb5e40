"""Gemini CLI's chats, in lines and as one object."""

import json
from typing import Any

from memscope.conversation.model import Conversation, Entry, Role, ToolCall
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

HEADER = {"sessionId": "s1", "projectHash": "0b7d", "kind": "main"}
CALL = {"id": "c1", "name": "ls", "args": {"dir": "."}, "status": "success"}
RESULT = [{"functionResponse": {"id": "c1", "name": "ls", "response": {"output": "a.txt"}}}]
MESSAGES: list[dict[str, Any]] = [
    {"id": "m1", "type": "user", "content": [{"text": "What is "}, {"text": "here?"}]},
    {"$set": {"lastUpdated": "2026-04-29T21:39:33.156Z"}},
    {"id": "m2", "type": "gemini", "content": "", "toolCalls": [{**CALL, "result": RESULT}], "model": "g-3"},
    {"id": "m3", "type": "info", "content": "Request cancelled."},
    {"id": "m4", "type": "gemini", "content": "One file, a.txt.", "thoughts": []},
]


def in_lines(*messages: dict[str, Any]) -> Conversation:
    return parse("".join(json.dumps(record) + "\n" for record in (HEADER, *messages)))


def test_what_was_said_called_and_given_are_entries() -> None:
    assert in_lines(*MESSAGES).entries == (
        Entry(Role.USER, "What is here?"),
        Entry(Role.ASSISTANT, "", tool_calls=(ToolCall("ls", '{"dir":"."}', "c1"),)),
        Entry(Role.TOOL, "a.txt", tool_call_id="c1", name="ls"),
        Entry(Role.ASSISTANT, "One file, a.txt."),
    )


def test_who_wrote_it_and_what_it_lacks_is_known() -> None:
    source = in_lines(*MESSAGES).source
    assert (source.format, source.agent, source.author) == ("gemini", "Gemini CLI", "g-3")
    assert source.missing == "the system prompt and the tools"


def test_one_object_with_all_messages_reads_the_same() -> None:
    whole = {**HEADER, "messages": [message for message in MESSAGES if "type" in message]}
    assert parse(json.dumps(whole, indent=1)).entries == in_lines(*MESSAGES).entries


def test_older_texts_stand_in_parts() -> None:
    assert in_lines({"type": "model", "parts": [{"text": "Ok"}]}).entries == (Entry(Role.ASSISTANT, "Ok"),)


def test_a_message_that_comes_again_replaces_the_one_before() -> None:
    again = {"id": "m4", "type": "gemini", "content": "Two files."}
    assert [entry.text for entry in in_lines(*MESSAGES, again).entries][-1] == "Two files."
    assert len(in_lines(*MESSAGES, again).entries) == 4


def test_a_step_back_takes_back_the_message_and_all_after_it() -> None:
    assert in_lines(*MESSAGES, {"$rewindTo": "m2"}).entries == (Entry(Role.USER, "What is here?"),)


def test_a_tools_result_of_another_shape_is_kept_as_json() -> None:
    call = {**CALL, "result": {"files": 1}}
    assert in_lines({"type": "gemini", "toolCalls": [call]}).entries[1].text == '{"files":1}'


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in (HEADER, *MESSAGES)])
