"""Agent files of Letta: messages in an agent's context, memory blocks, several agents."""

import json
from typing import Any

import pytest

from memscope.conversation.model import Branch, Conversation, Entry, Role, ToolCall
from memscope.errors import InputError
from tests.conversation.messages import parse
from tests.conversation.properties import (
    check_portions,
    check_prefixes,
    check_unknown,
)

RENDERED = (
    "Base.\n\n<memory_blocks>\n\n<human>\n<description>\nAbout the user.\n</description>\n"
    "<value>\nLives in Lyon.\n</value>\n</human>\n\n</memory_blocks>"
)
BLOCKS = [
    {"id": "block-0", "label": "human", "value": "Lives in Lyon.", "limit": 5000},
    {"id": "block-1", "label": "persona", "value": " ", "limit": 5000},
    {"id": "block-2", "label": "another agent's", "value": "Not mine."},
]


def message(at: int, role: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
    content = [] if text is None else [{"type": "text", "text": text, "signature": None}]
    return {"type": "message", "id": f"message-{at}", "role": role, "content": content, **fields}


CALL = {"id": "c1", "type": "function", "function": {"name": "memory_search", "arguments": '{"q":"x"}'}}
RETURNS = [{"tool_call_id": "c1", "status": "success", "func_response": "Nothing."}]
MESSAGES = [
    message(0, "system", RENDERED),
    message(1, "user", "Where do I live?"),
    message(2, "assistant", "I look it up.", tool_calls=[CALL], tool_returns=[]),
    message(3, "tool", '{"status": "OK"}', tool_call_id="c1", name="memory_search", tool_returns=RETURNS),
    message(4, "assistant", "In Lyon."),
]


def agent(at: int = 0, messages: list[dict[str, Any]] = MESSAGES, **fields: Any) -> dict[str, Any]:
    held = {
        "id": f"agent-{at}",
        "name": f"Agent {at}",
        "block_ids": ["block-0", "block-1"],
        "system": "Base.",
    }
    return {**held, "llm_config": {"model": "glm-5"}, "messages": messages, **fields}


def read(*agents: dict[str, Any], branch: str | None = None) -> Conversation:
    file = {"agents": list(agents), "groups": [], "blocks": BLOCKS, "tools": [], "mcp_servers": []}
    return parse(json.dumps(file, indent=2), branch)


def test_messages_are_entries() -> None:
    assert read(agent()).entries == (
        Entry(Role.SYSTEM, RENDERED),
        Entry(Role.USER, "Where do I live?"),
        Entry(Role.ASSISTANT, "I look it up.", tool_calls=(ToolCall("memory_search", '{"q":"x"}', "c1"),)),
        Entry(Role.TOOL, "Nothing.", tool_call_id="c1", name="memory_search"),
        Entry(Role.ASSISTANT, "In Lyon."),
    )


def test_who_spoke_is_known() -> None:
    source = read(agent()).source
    assert (source.format, source.agent, source.author) == ("letta", "Letta", "glm-5")
    assert (source.title, source.missing) == ("Agent 0", "the tools")


def test_only_what_the_agent_has_in_front_of_itself_is_read() -> None:
    conversation = read(agent(in_context_message_ids=["message-0", "message-4", "message-9"]))
    assert [entry.text for entry in conversation.entries] == [RENDERED, "In Lyon."]
    assert conversation.source.notes == (
        "messages passed over, as they are not in the agent's context: 3",
        "messages of the agent's context that are not in the file: 1",
    )


def test_blocks_that_the_system_prompt_does_not_hold_are_memories_after_it() -> None:
    conversation = read(agent(messages=[message(0, "system", "Base."), *MESSAGES[1:]]))
    assert conversation.entries[1] == Entry(Role.SYSTEM, "Lives in Lyon.", memory_key="human")
    assert [memory.key for memory in conversation.memories] == ["human"]
    assert "does not hold them" in conversation.source.notes[0]


def test_blocks_that_it_holds_are_not_repeated() -> None:
    assert not any(entry.memory_key for entry in read(agent()).entries)
    bare = [message(0, "system", "Base. Lives in Lyon."), *MESSAGES[1:]]
    assert not any(entry.memory_key for entry in read(agent(messages=bare)).entries)


def test_agents_that_are_not_shown_their_blocks_have_none() -> None:
    bare = [message(0, "system", "Base."), *MESSAGES[1:]]
    assert not read(agent(messages=bare, agent_type="react_agent")).memories


def test_the_agents_system_prompt_serves_where_no_message_has_it() -> None:
    entries = read(agent(messages=MESSAGES[1:])).entries
    assert entries[0] == Entry(Role.SYSTEM, "Base.")
    assert entries[1].memory_key == "human"


def test_results_of_several_calls_are_entries_each() -> None:
    both = [*RETURNS, {"tool_call_id": "c2", "func_response": [{"type": "text", "text": "Lyon"}]}]
    entries = read(agent(messages=[*MESSAGES[:3], message(3, "tool", tool_returns=both)])).entries
    assert [(entry.tool_call_id, entry.text) for entry in entries[3:]] == [("c1", "Nothing."), ("c2", "Lyon")]


def test_an_older_result_is_the_messages_text() -> None:
    older = message(3, "tool", '{"status": "OK"}', tool_call_id="c1", tool_returns=[{"status": "success"}])
    assert read(agent(messages=[*MESSAGES[:3], older])).entries[3].text == '{"status": "OK"}'


def test_reasoning_is_passed_over() -> None:
    parts = [{"type": "reasoning", "reasoning": "Hm.", "is_native": True}, {"type": "text", "text": "Lyon."}]
    said = {"id": "message-4", "role": "assistant", "content": parts}
    assert read(agent(messages=[*MESSAGES[:2], said])).entries[-1] == Entry(Role.ASSISTANT, "Lyon.")


def test_a_call_that_waits_for_approval_is_the_agents_and_the_answer_nobodys() -> None:
    asked = message(2, "approval", tool_calls=[CALL])
    given = message(3, "approval", approve=True, approval_request_id="message-2")
    entries = read(agent(messages=[*MESSAGES[:2], asked, given, *MESSAGES[3:]])).entries
    assert [entry.role for entry in entries[2:]] == [Role.ASSISTANT, Role.TOOL, Role.ASSISTANT]


def test_a_summary_is_said_to_the_agent() -> None:
    entries = read(agent(messages=[MESSAGES[0], message(1, "summary", "Before: Lyon."), MESSAGES[4]])).entries
    assert entries[1] == Entry(Role.USER, "Before: Lyon.")


def test_agents_are_branches_and_the_first_is_read() -> None:
    other = agent(1, [message(0, "user", "Hi"), message(1, "assistant", "Hello.")], system=None, block_ids=[])
    silent = agent(2, [])
    first = read(agent(), other, silent)
    assert first.source.branches == (Branch("agent-0", "Agent 0", 5), Branch("agent-1", "Agent 1", 2))
    assert (first.source.branch, len(first.entries)) == ("agent-0", 5)
    assert [entry.text for entry in read(agent(), other, branch="agent-1").entries] == ["Hi", "Hello."]


def test_a_file_without_messages_is_refused() -> None:
    with pytest.raises(InputError, match="holds no messages"):
        read(agent(messages=[]))


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(
        InputError, match=r"^log: Line 1: field `agents\[0\]\.messages\[0\]\.role`: expected "
    ):
        read(agent(messages=[{"role": 5}]))


def test_it_holds_to_what_every_format_promises() -> None:
    record = json.dumps({"agents": [agent(), agent(1)], "blocks": BLOCKS, "tools": []}).encode()
    check_prefixes([record])
    check_portions([record])
    check_unknown([record])
