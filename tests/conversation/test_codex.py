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


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return line("response_item", type=kind, **fields)


def test_older_calls_and_results_are_read() -> None:
    result = {"stdout": "a.txt", "exitCode": 0}
    conversation = read(
        *TALK[:5],
        item("tool_call", function={"name": "run"}, arguments={"command": "ls"}),
        item("tool_result", name="run", result=result),
        item("tool_result", name="run", result="b.txt"),
    )
    assert conversation.entries[2:] == (
        Entry(Role.ASSISTANT, "", tool_calls=(ToolCall("run", '{"command":"ls"}'),)),
        Entry(Role.TOOL, '{"stdout":"a.txt","exitCode":0}'),
        Entry(Role.TOOL, "b.txt"),
    )


def test_calls_that_name_no_tool_are_of_the_one_that_their_type_names() -> None:
    action = {"type": "exec", "command": ["ls"]}
    search = {"type": "search", "query": "Lyon"}
    conversation = read(
        *TALK[:5],
        item("local_shell_call", call_id="c1", status="completed", action=action),
        item("local_shell_call_output", call_id="c1", output="a.txt"),
        item("web_search_call", status="completed", action=search),
        item("tool_search_call", call_id="c3", arguments={"query": "maps"}),
        item("tool_search_output", call_id="c3", tools=[{"name": "map"}]),
    )
    assert [(call.name, call.arguments) for entry in conversation.entries for call in entry.tool_calls] == [
        ("local_shell", '{"type":"exec","command":["ls"]}'),
        ("web_search", '{"type":"search","query":"Lyon"}'),
        ("tool_search", '{"query":"maps"}'),
    ]
    assert [entry.text for entry in conversation.entries if entry.role is Role.TOOL] == [
        "a.txt",
        '[{"name":"map"}]',
    ]


def test_an_output_that_is_json_text_stays_as_it_is() -> None:
    output = '{"output":"a.txt","metadata":{"exit_code":0}}'
    assert (
        read(*TALK[:8], item("function_call_output", call_id="c1", output=output)).entries[-1].text == output
    )


def test_an_output_without_text_is_empty() -> None:
    picture = [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]
    for output in ("", picture):
        assert read(*TALK[:8], item("function_call_output", output=output)).entries[-1].text == ""


def test_what_the_model_never_saw_is_passed_over() -> None:
    own = [
        item("ghost_snapshot", ghost_commit={}),
        item("reasoning", summary=[]),
        item("image_generation_call"),
    ]
    assert read(*TALK, *own).entries == read(*TALK).entries


def test_what_another_agent_said_is_said_to_this_one() -> None:
    told = item("agent_message", author="a", content=[{"type": "input_text", "text": "Done."}])
    assert read(*TALK, told).entries[-1] == Entry(Role.USER, "Done.")


def test_the_system_prompt_comes_first_where_the_file_has_it() -> None:
    conversation = read(line("session_meta", base_instructions={"text": "You are Codex."}), *TALK)
    assert conversation.entries == (Entry(Role.SYSTEM, "You are Codex."), *read(*TALK).entries)
    assert conversation.source.missing == "the tools"


OLDEST: list[dict[str, Any]] = [
    {"id": "s1", "timestamp": "2025-08-18T01:16:13.522Z", "instructions": None, "git": {}},
    {"record_type": "state"},
    *(record["payload"] for record in TALK[2:] if record["type"] == "response_item"),
]


def test_the_oldest_rollouts_have_bare_items() -> None:
    conversation = read(*OLDEST)
    assert (conversation.source.format, conversation.entries) == ("codex", read(*TALK).entries)


def test_their_folder_stands_in_the_message_about_the_environment() -> None:
    about = said("user", "<environment_context>\n  <cwd>/work/x</cwd>\n</environment_context>")["payload"]
    assert read(OLDEST[0], about, *OLDEST[2:]).source.folder == "/work/x"


def test_the_oldest_hold_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in OLDEST])


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(record).encode() for record in TALK], inside=["payload"])
