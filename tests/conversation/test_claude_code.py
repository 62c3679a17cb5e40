"""Claude Code's sessions: a tree, one response over several lines, attached memories, compactions."""

import json
from typing import Any

from memscope.conversation.model import Branch, Conversation, Entry, Role, ToolCall
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


SIDE = [
    user("s1", None, "Look for\n files.", isSidechain=True, agentId="x1"),
    agent("s2", "s1", text("Found."), id_="msg9", isSidechain=True, agentId="x1"),
]


def test_a_subagents_own_file_is_read_like_any_other() -> None:
    conversation = read(*SIDE)
    assert conversation.source.branches == ()
    assert conversation.responses == (1,)


def test_a_side_chain_is_a_branch_that_is_never_live() -> None:
    live = read(*TALK, *SIDE)
    assert live.source.branches == (
        Branch("a4", "Where do I live?", 5),
        Branch("s2", "side chain: Look for files.", 2),
    )
    assert (live.source.branch, live.entries) == ("a4", read(*TALK).entries)
    side = read(*TALK, *SIDE, branch="s2")
    assert (side.source.branch, [entry.text for entry in side.entries]) == (
        "s2",
        ["Look for\n files.", "Found."],
    )


def test_what_says_nothing_ends_no_branch() -> None:
    progress = node("p1", "a1", "progress", data={"type": "hook_progress"})
    hook = {"type": "hook_additional_context", "content": "Be brief."}
    conversation = read(*TALK, progress, node("h1", "a2", "attachment", attachment=hook))
    assert (conversation.source.branches, conversation.entries) == ((), read(*TALK).entries)


def test_results_of_calls_made_together_follow_their_message() -> None:
    more = {**USE, "id": "t2"}
    results = [{"type": "tool_result", "tool_use_id": id_, "content": id_} for id_ in ("t1", "t2")]
    conversation = read(
        *TALK[:6],
        agent("a3b", "a3", more, id_="msg1"),
        user("r1", "a3", results[:1]),
        user("r2", "a3b", results[1:]),
        agent("a4", "r2", text("Both."), id_="msg2"),
    )
    assert [entry.text for entry in conversation.entries[2:]] == ["Let me look.", "t1", "t2", "Both."]
    assert len(conversation.entries[2].tool_calls) == 2
    assert conversation.source.branches == ()


def test_pictures_in_results_are_passed_over() -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [picture, text("A map.")]}
    assert read(*TALK[:6], user("u2", "a3", [result])).entries[-1].text == "A map."


def test_what_the_program_answered_itself_is_nobodys_response() -> None:
    own = {
        "role": "assistant",
        "id": "x",
        "model": "<synthetic>",
        "content": [text("No response requested.")],
    }
    conversation = read(*TALK, node("x1", "a4", "assistant", message=own))
    assert (conversation.entries, conversation.source.author) == (read(*TALK).entries, "claude-x")


def test_what_only_the_user_was_shown_is_passed_over_and_a_caveat_is_not() -> None:
    shown = user("x1", "a4", "Only on the screen.", isVisibleInTranscriptOnly=True)
    caveat = user("x2", "x1", "Caveat: run by the user.", isMeta=True)
    assert read(*TALK, shown, caveat).entries[5:] == (Entry(Role.USER, "Caveat: run by the user."),)


def test_what_the_user_said_meanwhile_and_files_he_pointed_at_are_read() -> None:
    queued = {"type": "queued_command", "prompt": [text("Also Nice?")], "commandMode": "prompt"}
    file = {"type": "file", "filename": "a.txt", "content": {"type": "text", "file": {"content": "Nice."}}}
    conversation = read(
        *TALK,
        node("q1", "a4", "attachment", attachment=queued),
        node("f1", "q1", "attachment", attachment=file),
    )
    assert [entry.text for entry in conversation.entries[5:]] == ["Also Nice?", "Nice."]


def test_records_of_the_program_itself_are_no_entries() -> None:
    own: list[dict[str, Any]] = [
        {"type": "file-history-snapshot", "messageId": "a1", "snapshot": {}},
        {"type": "queue-operation", "operation": "enqueue", "content": "x", "sessionId": "s"},
        node("p1", "a4", "progress", data={}),
        node("y1", "p1", "system", subtype="turn_duration", content="x"),
    ]
    assert read(*TALK, *own).entries == read(*TALK).entries


def test_a_title_that_the_user_gave_is_the_best() -> None:
    titles = [{"type": "custom-title", "customTitle": "Mine"}, {"type": "ai-title", "aiTitle": "Its"}]
    assert read(*TALK, *titles).source.title == "Mine"
    assert read(*TALK[1:], titles[1]).source.title == "Its"


def test_a_summary_without_a_boundary_begins_another_context() -> None:
    summary = user("u3", "a4", "Summary.", isCompactSummary=True, isVisibleInTranscriptOnly=True)
    assert [entry.context for entry in read(*TALK, summary).entries[4:]] == [0, 1]


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
