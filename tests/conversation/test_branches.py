"""Logs of branches and leaves, and the log of messages beside them."""

import json
from typing import Any

import pytest

from memscope.conversation.model import Conversation, Entry, Role, Span, ToolCall
from memscope.errors import InputError
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

Json = dict[str, Any]


def leaf(kind: str, body: Any, **fields: Any) -> Json:
    return {"Leaf": {"body": {kind: body}, **fields}}


def branch(role: str | None, *children: Json) -> Json:
    return {"Branch": {"role": role, "children": list(children)}}


def memory(key: str, text: str) -> Json:
    return leaf("Memory", {"key": key, "text": text, "score": 0.25})


def read(*records: Json) -> Conversation:
    return parse("".join(json.dumps(record) + "\n" for record in records))


LOG = [
    branch("System", leaf("Content", "You are careful."), memory("home", "Lives in Oslo.")),
    branch("User", leaf("Content", {"text": "What to eat?"}, timestamp="2026-01-01T00:00:00Z")),
    branch(
        "Assistant",
        memory("diet", "No nuts."),
        leaf("Thinking", "Look."),
        leaf("Log", {"key": "x", "text": "y"}),
        leaf("Content", "I'll look."),
        leaf("ToolCall", {"name": "find", "arguments": {"q": "food"}, "id": "c1"}),
        leaf("ToolResult", {"content": "soup", "id": "c1", "name": "find"}),
        leaf("Dmn", "idle"),
        leaf("Content", "Soup."),
    ),
]


def test_branches_are_messages_and_memories_entries_where_they_stand() -> None:
    conversation = read(*LOG)
    assert conversation.entries == (
        Entry(Role.SYSTEM, "You are careful."),
        Entry(Role.SYSTEM, "Lives in Oslo.", memory_key="home"),
        Entry(Role.USER, "What to eat?", timestamp="2026-01-01T00:00:00Z"),
        Entry(Role.ASSISTANT, "No nuts.", memory_key="diet"),
        Entry(
            Role.ASSISTANT,
            "<think>Look.</think>\nI'll look.",
            (ToolCall("find", '{"q":"food"}', "c1"),),
            (Span(0, 21),),
        ),
        Entry(Role.TOOL, "soup", tool_call_id="c1", name="find"),
        Entry(Role.ASSISTANT, "Soup."),
    )
    assert conversation.source.format == "branches"
    assert [memory.key for memory in conversation.memories] == ["home", "diet"]
    assert conversation.responses == (4, 6)


def test_a_memory_after_a_thought_stands_before_the_response() -> None:
    said = branch("Assistant", leaf("Thinking", "Hm."), memory("a", "A"), leaf("Content", "Yes."))
    assert [entry.text for entry in read(said).entries] == ["A", "<think>Hm.</think>\nYes."]


def test_a_memory_within_a_response_parts_it() -> None:
    said = branch("Assistant", leaf("Content", "One."), memory("a", "A"), leaf("Content", "Two."))
    assert [entry.text for entry in read(said).entries] == ["One.", "A", "Two."]


def test_branches_within_branches_are_messages_in_their_place() -> None:
    inner = branch("Assistant", leaf("Content", "Inner."), branch(None, memory("a", "A")))
    outer = branch(None, branch("User", leaf("Content", "Ask.")), inner)
    assert [(entry.role, entry.text) for entry in read(outer).entries] == [
        (Role.USER, "Ask."),
        (Role.ASSISTANT, "Inner."),
        (Role.ASSISTANT, "A"),
    ]


def test_leaves_by_themselves_are_the_users_except_for_what_only_an_agent_does() -> None:
    call = leaf("ToolCall", {"name": "f"})
    leaves = [memory("a", "A"), leaf("Content", "Hi"), call, leaf("ToolResult", "r"), leaf("Log", "x")]
    assert read(*leaves).entries == (
        Entry(Role.USER, "A", memory_key="a"),
        Entry(Role.USER, "Hi"),
        Entry(Role.ASSISTANT, "", (ToolCall("f", "{}"),)),
        Entry(Role.TOOL, "r"),
    )


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (branch("Robot", leaf("Content", "x")), "field `Branch.role` is 'Robot'; it must be System, User"),
        (branch("User", memory(" ", "x")), "field `Memory.key` is empty; give the memory a name"),
        (branch("User", leaf("Memory", {"key": "a"})), "object missing required field `text`"),
        (branch("User", leaf("ToolCall", {"name": 5})), "field `name`: expected `str`, got `int`"),
    ],
)
def test_what_is_wrong_is_named_and_the_branch_left_out_whole(record: Json, problem: str) -> None:
    (note,) = read(LOG[1], record).source.notes
    assert note.startswith(f"line 2 was left out: {problem}")
    with pytest.raises(InputError, match=r"^log: Line 1: "):
        read(record)


def test_a_memory_with_its_score_on_a_line_of_messages_is_one_too() -> None:
    lines: list[Json] = [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Lives in Oslo.", "memory_key": "home", "memory_score": 0.12},
        {"role": "assistant", "content": "Hello"},
    ]
    conversation = read(*lines)
    assert conversation.source.format == "native"
    assert conversation.entries[1] == Entry(Role.SYSTEM, "Lives in Oslo.", memory_key="home")
    assert conversation.responses == (2,)


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in LOG], inside=["Branch"])
