"""Claude Code's sessions: a tree, one response over several lines, attached memories, compactions."""

import json
from typing import Any

from memscope.conversation.model import Conversation, Entry, Role, ToolCall
from tests.conversation.messages import parse
from tests.conversation.properties import check_format


def node(uuid: str, parent: str | None, kind: str, **fields: Any) -> dict[str, Any]:
    return {"uuid": uuid, "parentUuid": parent, "sessionId": "s", "type": kind, "cwd": "/repo", **fields}


def user(uuid: str, parent: str | None, content: Any, **fields: Any) -> dict[str, Any]:
    return node(uuid, parent, "user", message={"role": "user", "content": content}, **fields)


def agent(uuid: str, parent: str, *blocks: dict[str, Any], id_: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "id": id_, "model": "claude-x", "content": list(blocks)}
    return node(uuid, parent, "assistant", message=message, **fields)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


MEMORIES = {"type": "relevant_memories", "memories": [{"path": "/m/city.md", "content": "Lives in Lyon."}]}
USE = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
TALK = [
    {"type": "summary", "summary": "Where to go", "leafUuid": "a3"},
    user("u1", None, "Where do I live?"),
    node("m1", "u1", "attachment", attachment=MEMORIES),
    agent("a1", "m1", {"type": "thinking", "thinking": "hm"}, id_="msg1"),
    agent("a2", "a1", text("Let me look."), id_="msg1"),
    agent("a3", "a2", USE, id_="msg1"),
    user("u2", "a3", [{"type": "tool_result", "tool_use_id": "t1", "content": [text("a.txt")]}]),
    agent("a4", "u2", text("In Lyon."), id_="msg2"),
]


def read(*records: dict[str, Any], branch: str | None = None) -> Conversation:
    return parse("".join(json.dumps(record) + "\n" for record in records), branch=branch)


def test_the_lines_of_one_message_are_one_response() -> None:
    assert read(*TALK).entries == (
        Entry(Role.USER, "Where do I live?"),
        Entry(Role.USER, "Lives in Lyon.", memory_key="/m/city.md", injected=True),
        Entry(Role.ASSISTANT, "Let me look.", tool_calls=(ToolCall("Bash", '{"command":"ls"}', "t1"),)),
        Entry(Role.TOOL, "a.txt", tool_call_id="t1"),
        Entry(Role.ASSISTANT, "In Lyon."),
    )


def test_title_author_and_folder_are_known() -> None:
    source = read(*TALK).source
    assert (source.title, source.author, source.folder) == ("Where to go", "claude-x", "/repo")
    assert source.missing


def test_attached_memories_are_memories_under_their_paths() -> None:
    nested = {"type": "nested_memory", "path": "/CLAUDE.md", "content": {"path": "x", "content": "Be brief."}}
    files = {"type": "instructions", "files": [{"path": "/user.md", "content": "Use metres."}]}
    conversation = read(
        *TALK,
        node("n1", "a4", "attachment", attachment=nested),
        node("n2", "n1", "attachment", attachment=files),
    )
    assert [memory.key for memory in conversation.memories] == ["/m/city.md", "/CLAUDE.md", "/user.md"]


def test_parents_may_come_after_their_children() -> None:
    assert read(TALK[0], *reversed(TALK[1:])).entries == read(*TALK).entries


def test_a_dead_branch_is_offered_and_the_live_one_read() -> None:
    other = agent("a4b", "u2", text("In Paris."), id_="msg3")
    live = read(*TALK, other)
    assert live.entries[-1].text == "In Paris."
    assert [branch.id for branch in live.source.branches] == ["a4", "a4b"]
    assert read(*TALK, other, branch="a4").entries[-1].text == "In Lyon."


def test_side_chains_are_skipped_unless_there_is_nothing_else() -> None:
    side = [user("s1", None, "Look for files.", isSidechain=True)]
    side.append(agent("s2", "s1", text("Found."), id_="msg9", isSidechain=True))
    assert read(*TALK, *side).entries == read(*TALK).entries
    assert [entry.text for entry in read(*side).entries] == ["Look for files.", "Found."]


def test_a_compaction_begins_another_context() -> None:
    boundary = node("c1", None, "system", subtype="compact_boundary", logicalParentUuid="a4")
    summary = user("u3", "c1", "Summary: lives in Lyon.", isCompactSummary=True)
    conversation = read(*TALK, boundary, summary, agent("a5", "u3", text("Noted."), id_="msg5"))
    assert [entry.context for entry in conversation.entries] == [0, 0, 0, 0, 0, 1, 1]


def test_a_line_that_comes_twice_counts_once() -> None:
    assert read(*TALK, TALK[-1]).entries == read(*TALK).entries


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in TALK[1:]])


def test_what_a_hook_added_is_injected_and_its_tags_count_anywhere() -> None:
    added = "Session began.\n<relevant-memories>\n- [id: city] Lyon\n- [id: tea] Tea\n</relevant-memories>"
    hooks = [
        node("h1", "u1", "attachment", attachment={"type": "hook_success", "content": added}),
        node("h2", "h1", "attachment", attachment={"type": "hook_additional_context", "content": [added]}),
    ]
    conversation = read(TALK[1], *hooks)

    assert [entry.injected for entry in conversation.entries] == [False, True, True]
    assert [(memory.key, memory.entries) for memory in conversation.memories] == [
        ("city", (1, 2)),
        ("tea", (1, 2)),
    ]
