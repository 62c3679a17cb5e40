"""Sessions of pi and OpenClaw: a tree of records, with compactions."""

import json
from typing import Any

import pytest

from memscope.conversation.model import Conversation, Entry, Role, ToolCall
from memscope.errors import InputError
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

SESSION = {"type": "session", "id": "s", "version": 3, "cwd": "/tmp/repo"}


def message(id_: str, parent: str, role: str, *content: Any, **more: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    said = {"role": role, "content": parts, **more}
    return {"type": "message", "id": id_, "parentId": parent, "message": said}


CALL = {"type": "toolCall", "id": "c1", "name": "shell", "arguments": {"command": "ls"}}
TALK: list[dict[str, Any]] = [
    SESSION,
    {"type": "model_change", "id": "mc", "parentId": "s", "modelId": "small"},
    message("m1", "mc", "user", "List files"),
    message("m2", "m1", "assistant", "Running ls now.", CALL, model="small-1"),
    {
        **message("m3", "c1", "toolResult", toolCallId="c1", toolName="shell"),
        "message": {"role": "toolResult", "toolCallId": "c1", "toolName": "shell", "content": "a.txt"},
    },
    message("m4", "m3", "assistant", {"type": "thinking", "thinking": "hm"}, "One file."),
]


def read(*records: dict[str, Any], branch: str | None = None) -> Conversation:
    return parse("".join(json.dumps(record) + "\n" for record in records), branch=branch)


def test_messages_calls_and_results_are_entries() -> None:
    conversation = read(*TALK)
    assert conversation.entries == (
        Entry(Role.USER, "List files"),
        Entry(Role.ASSISTANT, "Running ls now.", tool_calls=(ToolCall("shell", '{"command":"ls"}', "c1"),)),
        Entry(Role.TOOL, "a.txt", tool_call_id="c1", name="shell"),
        Entry(Role.ASSISTANT, "One file."),
    )
    source = conversation.source
    assert (source.format, source.author, source.folder) == ("pi", "small-1", "/tmp/repo")


def test_what_is_injected_before_a_turn_is_an_entry() -> None:
    injected = {"type": "custom_message", "id": "x", "parentId": "m4", "content": "Remember this."}
    assert read(*TALK, injected).entries[-1] == Entry(Role.USER, "Remember this.")


def test_a_compaction_begins_a_context_with_its_summary_and_what_it_keeps() -> None:
    compaction = {
        "type": "compaction",
        "id": "k",
        "parentId": "m4",
        "summary": "There is one file.",
        "firstKeptEntryId": "m4",
    }
    later = [message("m5", "k", "user", "And now?"), message("m6", "m5", "assistant", "Nothing new.")]
    conversation = read(*TALK, compaction, *later)
    assert [(entry.text, entry.context, entry.kept) for entry in conversation.entries[3:]] == [
        ("One file.", 0, False),
        ("There is one file.", 1, False),
        ("One file.", 1, True),
        ("And now?", 1, False),
        ("Nothing new.", 1, False),
    ]
    assert conversation.responses == (1, 3, 7)


def test_the_live_branch_is_the_one_whose_leaf_came_last_and_others_are_offered() -> None:
    other = message("m4b", "m3", "assistant", "Exactly one.")
    live = read(*TALK, other)
    assert live.entries[-1].text == "Exactly one."
    assert [(branch.id, branch.entries) for branch in live.source.branches] == [("m4", 4), ("m4b", 4)]
    assert live.source.branch == "m4b"
    assert read(*TALK, other, branch="m4").entries[-1].text == "One file."
    with pytest.raises(InputError, match="no branch 'none'"):
        read(*TALK, other, branch="none")


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in TALK])


def test_a_leaf_without_entries_is_no_branch() -> None:
    change = {"type": "model_change", "id": "mc2", "parentId": "mc", "modelId": "large"}
    conversation = read(*TALK, change)
    assert conversation.source.branches == ()
    assert conversation.entries == read(*TALK).entries
