"""LangChain's messages in their three notations, and LangGraph's states."""

import json
from typing import Any

import pytest

from memscope.conversation.model import Conversation, Entry, Role, Span, ToolCall
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

Json = dict[str, Any]
ITEMS = json.dumps([{"namespace": ["memories"], "key": "k1", "value": {"content": "Lives in Oslo."}}])
CALL = {"name": "search_memory", "args": {"query": "home"}, "id": "c1", "type": "tool_call"}
FIELDS: list[tuple[str, Json]] = [
    ("system", {"content": "You are careful."}),
    ("human", {"content": [{"type": "text", "text": "Where do "}, {"type": "text", "text": "I live?"}]}),
    ("ai", {"content": "", "tool_calls": [CALL], "response_metadata": {"model_name": "m-1"}}),
    ("tool", {"content": ITEMS, "tool_call_id": "c1"}),
    ("ai", {"content": "In Oslo.", "tool_calls": [], "additional_kwargs": {}}),
]
TALK = (
    Entry(Role.SYSTEM, "You are careful."),
    Entry(Role.USER, "Where do I live?"),
    Entry(Role.ASSISTANT, "", (ToolCall("search_memory", '{"query":"home"}', "c1"),)),
    Entry(Role.TOOL, ITEMS, tool_call_id="c1", name="search_memory"),
    Entry(Role.ASSISTANT, "In Oslo."),
)


def dicts(kind: str, fields: Json) -> Json:
    return {"type": kind, "data": {**fields, "type": kind}}


def flat(kind: str, fields: Json) -> Json:
    return {**fields, "type": kind}


def dumped(kind: str, fields: Json) -> Json:
    name = {"ai": "AIMessage"}.get(kind, f"{kind.title()}Message")
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {**fields, "type": kind}}


def read(*messages: Json) -> Conversation:
    return parse("".join(json.dumps(message) + "\n" for message in messages))


@pytest.mark.parametrize("notation", [dicts, flat, dumped])
@pytest.mark.parametrize(
    "layout",
    [
        json.dumps,
        lambda messages: json.dumps({"messages": messages}, indent=1),
        lambda messages: json.dumps({"values": {"messages": messages}, "next": []}),
        lambda messages: "\n".join(map(json.dumps, messages)),
    ],
)
def test_every_notation_reads_the_same_in_every_layout(notation: Any, layout: Any) -> None:
    conversation = parse(layout([notation(kind, fields) for kind, fields in FIELDS]))

    assert conversation.entries == TALK
    assert (conversation.source.format, conversation.source.author) == ("langchain", "m-1")


def test_messages_that_name_a_role_are_not_langchains() -> None:
    assert parse('[{"role": "user", "type": "human", "content": "hi"}]').source.format == "openai"


def test_a_tools_message_has_the_name_it_gives_itself() -> None:
    answer = flat("tool", {"content": "x", "tool_call_id": "c1", "name": "other"})
    assert read(flat(*FIELDS[2]), answer).entries[1].name == "other"


@pytest.mark.parametrize(
    ("kind", "fields", "role"),
    [
        ("function", {"content": "x", "name": "f"}, Role.TOOL),
        ("chat", {"content": "x", "role": "assistant"}, Role.ASSISTANT),
        ("chat", {"content": "x", "role": "narrator"}, Role.USER),
        ("AIMessageChunk", {"content": "x"}, Role.ASSISTANT),
    ],
)
def test_other_types_have_the_role_that_comes_next(kind: str, fields: Json, role: Role) -> None:
    assert read(dicts(kind, fields)).entries[0].role is role


def test_a_message_that_comes_again_replaces_the_one_before_and_one_may_be_taken_back() -> None:
    first, second = flat("human", {"content": "a", "id": "1"}), flat("ai", {"content": "b", "id": "2"})
    again, back = flat("ai", {"content": "c", "id": "2"}), flat("remove", {"content": "", "id": "1"})
    everything = flat("remove", {"content": "", "id": "__remove_all__"})

    assert [entry.text for entry in read(first, second, again).entries] == ["a", "c"]
    assert [entry.text for entry in read(first, second, back).entries] == ["b"]
    assert [entry.text for entry in read(first, everything, second).entries] == ["b"]


def test_thinking_is_marked() -> None:
    parts = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}, {"type": "tool_use"}]
    entry = Entry(Role.ASSISTANT, "<think>Hm.</think>\nYes.", thinking=(Span(0, 19),))

    assert read(flat("ai", {"content": parts})).entries == (entry,)
    more = {"reasoning_content": "Hm."}
    assert read(flat("ai", {"content": "Yes.", "additional_kwargs": more})).entries == (entry,)


def test_calls_that_only_the_service_wrote_are_calls_and_so_are_broken_ones() -> None:
    made = {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    broken = [{"name": "g", "args": "{", "id": "2", "error": "not JSON"}]

    assert read(flat("ai", {"content": "", "additional_kwargs": made})).entries[0].tool_calls == (
        ToolCall("f", "{}", "1"),
    )
    assert read(flat("ai", {"content": "", "invalid_tool_calls": broken})).entries[0].tool_calls == (
        ToolCall("g", "{", "2"),
    )


@pytest.mark.parametrize(("notation", "inside"), [(dicts, ["data"]), (flat, []), (dumped, ["kwargs"])])
def test_it_holds_to_what_every_format_promises(notation: Any, inside: list[str]) -> None:
    records = [json.dumps(notation(kind, fields)).encode() for kind, fields in FIELDS[1:]]
    check_format(records, inside=inside)
