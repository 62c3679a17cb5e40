"""Codex rollouts: response items, compactions, turns taken back."""

import json
from typing import Any

from memscope.conversation.model import Conversation, Entry, Role, ToolCall
from tests.conversation.messages import parse
from tests.conversation.properties import check_format


def line(kind: str, **payload: Any) -> dict[str, Any]:
    return {"type": kind, "payload": payload}


def said(role: str, text: str) -> dict[str, Any]:
    return line("response_item", type="message", role=role, content=[{"type": "input_text", "text": text}])


META = line("session_meta", id="s1", cwd="/tmp/repo")
TALK = [
    META,
    line("turn_context", cwd="/tmp/repo", model="gpt-5-codex"),
    said("developer", "You are careful."),
    line("event_msg", type="user_message", message="List the files"),
    said("user", "List the files"),
    line("response_item", type="reasoning", encrypted_content="xyz"),
    said("assistant", "I'll look."),
    line("response_item", type="function_call", name="shell", arguments='{"command":["ls"]}', call_id="c1"),
    line("response_item", type="custom_tool_call", name="patch", input="+x", call_id="c2"),
    line("response_item", type="function_call_output", call_id="c1", output="a.txt"),
    line("response_item", type="custom_tool_call_output", call_id="c2", output=[{"text": "done"}]),
    said("assistant", "One file."),
]


def read(*records: dict[str, Any]) -> Conversation:
    return parse("".join(json.dumps(record) + "\n" for record in records))


def test_response_items_are_entries_and_events_that_repeat_them_are_not() -> None:
    assert read(*TALK).entries == (
        Entry(Role.SYSTEM, "You are careful."),
        Entry(Role.USER, "List the files"),
        Entry(
            Role.ASSISTANT,
            "I'll look.",
            tool_calls=(ToolCall("shell", '{"command":["ls"]}', "c1"), ToolCall("patch", "+x", "c2")),
        ),
        Entry(Role.TOOL, "a.txt", tool_call_id="c1"),
        Entry(Role.TOOL, "done", tool_call_id="c2"),
        Entry(Role.ASSISTANT, "One file."),
    )


def test_who_spoke_and_where_is_known() -> None:
    source = read(*TALK).source
    assert (source.format, source.agent, source.author) == ("codex", "Codex", "gpt-5-codex")
    assert (source.folder, source.missing) == ("/tmp/repo", "the system prompt and the tools")


def test_a_compaction_replaces_the_context() -> None:
    history = [said("user", "Before: one file.")["payload"], said("assistant", "Yes.")["payload"]]
    compacted = line("compacted", message="", replacement_history=history)
    conversation = read(*TALK, compacted, said("user", "More?"), said("assistant", "No."))
    assert [(entry.text, entry.context, entry.kept) for entry in conversation.entries[6:]] == [
        ("Before: one file.", 1, True),
        ("Yes.", 1, True),
        ("More?", 1, False),
        ("No.", 1, False),
    ]
    assert conversation.responses == (2, 5, 9)


def test_an_older_compaction_is_its_message() -> None:
    conversation = read(*TALK, line("compacted", message="One file."), said("user", "More?"))
    assert [(entry.text, entry.context) for entry in conversation.entries[6:]] == [
        ("One file.", 1),
        ("More?", 1),
    ]


def test_turns_that_were_rolled_back_are_gone() -> None:
    more = [said("user", "Delete it"), said("assistant", "Deleted.")]
    back = line("event_msg", type="thread_rolled_back", num_turns=1)
    assert read(*TALK, *more, back).entries == read(*TALK).entries


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in TALK], inside=["payload"])
