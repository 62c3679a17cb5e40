"""OpenTelemetry's GenAI spans: merged calls, memories that were searched for, every way they are written."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from memscope.conversation.model import Conversation, Entry, Role, Span, ToolCall
from memscope.conversation.readers import parse_conversation
from memscope.errors import InputError
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

Json = dict[str, Any]


def text(role: str, content: str) -> Json:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


SYSTEM, ASK, ANSWER, THANKS, BYE = (
    text("system", "You are careful."),
    text("user", "Where do I live?"),
    text("assistant", "In Oslo."),
    text("user", "Thanks"),
    text("assistant", "Any time."),
)


def span(start: int, **attributes: Any) -> Json:
    """A span as an SDK writes it; `input_messages` stands for `gen_ai.input.messages`."""
    named = {
        name if "." in name else f"gen_ai.{name.replace('_', '.')}": value
        for name, value in attributes.items()
    }
    return {
        "name": "chat m",
        "context": {"trace_id": "0xt1", "span_id": f"0x{start}"},
        "start_time": f"2026-02-03T04:05:{start:02}.000000Z",
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", **named},
    }


def call(start: int, given: Sequence[Json], said: Sequence[Json], **attributes: Any) -> Json:
    written = {"input_messages": json.dumps(given), "output_messages": json.dumps(said)}
    return span(start, **written, **attributes)


def search(start: int, *records: Json, **attributes: Any) -> Json:
    return span(start, operation_name="search_memory", memory_records=json.dumps(records), **attributes)


FIRST = call(
    2, [SYSTEM, ASK], [ANSWER], conversation_id="c1", agent_name="Planner", response_model="m-1-0613"
)
SECOND = call(4, [SYSTEM, ASK, ANSWER, THANKS], [BYE], conversation_id="c1")
HOME = search(1, {"content": "The user lives in Oslo.", "id": "home/city", "score": 0.9})
TALK = (
    Entry(Role.SYSTEM, "You are careful."),
    Entry(Role.USER, "Where do I live?"),
    Entry(Role.ASSISTANT, "In Oslo."),
    Entry(Role.USER, "Thanks"),
    Entry(Role.ASSISTANT, "Any time."),
)


def read(*records: Json) -> Conversation:
    return parse("".join(json.dumps(record) + "\n" for record in records))


def test_calls_that_repeat_the_history_are_one_conversation() -> None:
    assert read(FIRST, SECOND).entries == TALK


def test_spans_are_ordered_by_their_start() -> None:
    spans = [HOME, FIRST, SECOND]
    whole = read(*spans).entries
    for seed in range(6):
        assert read(*random.Random(seed).sample(spans, 3)).entries == whole


def test_a_span_that_comes_twice_counts_once() -> None:
    assert read(FIRST, FIRST, SECOND).entries == TALK


def test_model_agent_and_what_is_missing_are_known() -> None:
    source = read(FIRST, SECOND).source
    assert (source.format, source.agent, source.author, source.missing) == (
        "otel",
        "Planner",
        "m-1",
        "the tools",
    )


def test_a_memory_that_was_searched_for_stands_before_the_next_calls_new_messages() -> None:
    later = search(3, {"content": "The user likes tea.", "id": "tea"})
    conversation = read(HOME, FIRST, later, SECOND)

    keys = [entry.memory_key or entry.text for entry in conversation.entries]
    assert keys == [
        "You are careful.", "home/city", "Where do I live?", "In Oslo.", "tea", "Thanks", "Any time."
    ]  # fmt: skip
    assert [memory.key for memory in conversation.memories] == ["home/city", "tea"]
    assert conversation.memory_text(conversation.memories[0]) == "The user lives in Oslo."


def test_a_memory_without_an_id_is_named_by_its_text() -> None:
    (memory,) = read(search(1, {"content": "The user likes tea."}), FIRST).memories
    assert memory.key == "memory#56e610f9"


def test_records_that_were_stored_are_not_what_the_model_saw() -> None:
    stored = span(1, operation_name="upsert_memory", memory_records='[{"content": "x", "id": "a"}]')
    assert read(stored, FIRST).memories == ()


def test_a_memory_that_a_message_repeats_is_noted() -> None:
    said = text("user", "I know: The user lives in Oslo. Right?")
    (note,) = read(HOME, call(2, [said], [ANSWER])).source.notes
    assert note.startswith("memories that also stand word for word in a message")
    assert note.endswith(": 1")


def test_a_rewritten_history_begins_another_context() -> None:
    summary = text("user", "So far: they asked where they live.")
    cut = call(6, [SYSTEM, summary, THANKS], [text("assistant", "Hm.")], conversation_id="c1")

    entries = read(FIRST, SECOND, cut).entries

    assert entries[:5] == TALK
    assert entries[5:] == (
        Entry(Role.USER, "So far: they asked where they live.", context=1),
        Entry(Role.USER, "Thanks", context=1, kept=True),
        Entry(Role.ASSISTANT, "Hm.", context=1),
    )


def test_a_repeated_response_is_kept_and_not_scored_again() -> None:
    cut = call(6, [SYSTEM, ANSWER, THANKS, BYE, ASK], [text("assistant", "Oslo!")])
    conversation = read(FIRST, SECOND, cut)
    assert [conversation.entries[at].text for at in conversation.responses] == [
        "In Oslo.", "Any time.", "Oslo!"
    ]  # fmt: skip


def test_another_agents_calls_in_between_do_not_break_a_conversation() -> None:
    helper = call(3, [text("system", "You sum up."), text("user", "Sum up")], [text("assistant", "Ok")])
    conversation = read(FIRST, helper, SECOND)
    assert conversation.entries[:5] == TALK
    assert [(entry.text, entry.context) for entry in conversation.entries[5:]] == [
        ("You sum up.", 1), ("Sum up", 1), ("Ok", 1)
    ]  # fmt: skip
    assert conversation.source.notes == (
        "the system prompt changed; the first one is kept in front of every context",
    )


def test_a_call_that_names_the_response_before_it_goes_on_there() -> None:
    first = call(2, [SYSTEM, ASK], [ANSWER], response_id="r1")
    second = call(3, [SYSTEM, THANKS], [BYE], **{"gen_ai.request.previous_response.id": "r1"})
    assert read(first, second).entries == TALK


def test_system_instructions_beside_the_messages_are_the_system_prompt() -> None:
    instructions = [{"type": "text", "content": "You are careful."}]
    spans = [
        call(2, [ASK], [ANSWER], **{"gen_ai.system_instructions": json.dumps(instructions)}),
        call(4, [ASK, ANSWER, THANKS], [BYE], **{"gen_ai.system_instructions": instructions}),
    ]
    assert read(*spans).entries == TALK


def test_tool_calls_results_and_reasoning() -> None:
    thought = {"type": "reasoning", "content": "Look it up."}
    wait = {"type": "text", "content": "One moment."}
    called: Json = {"type": "tool_call", "id": "k1", "name": "find", "arguments": {"q": "home"}}
    said = {"role": "assistant", "parts": [thought, wait, called]}
    repeated = {"role": "assistant", "parts": [wait, {**called, "arguments": '{"q": "home"}'}]}
    given = {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "k1", "response": {"city": "Oslo"}}],
    }

    entries = read(call(1, [ASK], [said]), call(2, [ASK, repeated, given], [ANSWER])).entries

    assert entries == (
        Entry(Role.USER, "Where do I live?"),
        Entry(
            Role.ASSISTANT,
            "<think>Look it up.</think>\nOne moment.",
            (ToolCall("find", '{"q":"home"}', "k1"),),
            (Span(0, 27),),
        ),
        Entry(Role.TOOL, '{"city":"Oslo"}', tool_call_id="k1", name="find"),
        Entry(Role.ASSISTANT, "In Oslo."),
    )


def test_other_choices_of_a_response_are_left_out_and_noted() -> None:
    spare = call(2, [SYSTEM, ASK], [ANSWER, text("assistant", "Bergen?")], request_choice_count=2)
    conversation = read(spare, SECOND)
    assert conversation.entries == TALK
    assert conversation.source.notes == ("choices of responses that were left out beside the first: 1",)


def test_a_run_of_an_agent_counts_only_where_its_calls_are_not_recorded() -> None:
    run = call(1, [SYSTEM, ASK], [ANSWER], operation_name="invoke_agent")
    assert read(run).entries == TALK[:3]
    assert read(run, FIRST, SECOND).entries == TALK
    assert read(FIRST, SECOND, run).entries == TALK


def test_several_conversations_are_branches_and_the_one_with_the_latest_call_is_live() -> None:
    other = call(9, [text("user", "Hello")], [text("assistant", "Hi")], conversation_id="c2")
    other["context"]["trace_id"] = "0xt2"
    data = "".join(json.dumps(record) + "\n" for record in (other, FIRST, SECOND)).encode()

    live = parse_conversation(data, "log", "log")
    first = parse_conversation(data, "log", "log", branch="c1")

    assert [entry.text for entry in live.entries] == ["Hello", "Hi"]
    assert [(each.id, each.title, each.entries) for each in live.source.branches] == [
        ("c2", "Hello", 2), ("c1", "Thanks", 5)
    ]  # fmt: skip
    assert (live.source.branch, first.source.branch, first.entries) == ("c2", "c1", TALK)


def test_spans_that_do_not_name_their_conversation_belong_to_that_of_their_trace() -> None:
    assert [memory.key for memory in read(HOME, FIRST, SECOND).memories] == ["home/city"]
    assert read(HOME, FIRST).source.branches == ()


def as_otlp(value: Any) -> Json:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [as_otlp(item) for item in value]}}
    return {"kvlistValue": {"values": [{"key": key, "value": as_otlp(item)} for key, item in value.items()]}}


def otlp(start: int, attributes: Json) -> Json:
    exported = {
        "traceId": "t1",
        "spanId": f"s{start}",
        "name": "chat m",
        "startTimeUnixNano": str(1770000000 * 10**9 + start),
        "attributes": [{"key": key, "value": as_otlp(value)} for key, value in attributes.items()],
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [exported]}]}]}


@pytest.mark.parametrize("decoded", [True, False])
def test_otlp_exports_read_the_same_a_line_each_or_as_one_document(decoded: bool) -> None:
    exports = []
    for start, each in enumerate((HOME, FIRST, SECOND)):
        attributes = each["attributes"]
        if decoded:
            attributes = {
                key: json.loads(value) if value[0] == "[" else value for key, value in attributes.items()
            }
        exports.append(otlp(start, {**attributes, "gen_ai.request.top_k": 5}))
    whole = {"resourceSpans": [resource for export in exports for resource in export["resourceSpans"]]}

    assert read(*exports).entries == read(HOME, FIRST, SECOND).entries
    assert parse(json.dumps(whole, indent=1)).entries == read(HOME, FIRST, SECOND).entries


@pytest.mark.parametrize("layout", [lambda spans: spans, lambda spans: {"spans": spans}])
def test_a_document_may_be_a_list_of_spans(layout: Any) -> None:
    other = {"name": "GET /", "attributes": {"http.method": "GET"}}
    assert parse(json.dumps(layout([other, SECOND, FIRST]), indent=1)).entries == TALK


def test_a_document_may_be_one_span() -> None:
    assert parse(json.dumps(SECOND, indent=1)).entries == TALK


def test_messages_may_stand_in_an_event() -> None:
    event = {"name": "gen_ai.client.inference.operation.details", "attributes": SECOND["attributes"]}
    assert read({**span(4), "events": [event]}).entries == TALK


def test_messages_of_older_conventions_are_events_of_their_own() -> None:
    events = [
        {"name": "gen_ai.system.message", "attributes": {"content": "You are careful."}},
        {
            "name": "gen_ai.user.message",
            "attributes": {"gen_ai.event.content": '{"content": "Where do I live?"}'},
        },
        {"name": "gen_ai.choice", "attributes": {"index": 0, "message": '{"content": "In Oslo."}'}},
    ]
    assert read({**span(4), "events": events}).entries == TALK[:3]


@pytest.mark.parametrize(
    "numbered",
    [
        {
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Where do I live?",
            "gen_ai.completion.0.content": "I look.",
            "gen_ai.completion.0.tool_calls.0.id": "k1",
            "gen_ai.completion.0.tool_calls.0.name": "find",
            "gen_ai.completion.0.tool_calls.0.arguments": "{}",
        },
        {
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.contents.0.message_content.type": "text",
            "llm.input_messages.0.message.contents.0.message_content.text": "Where do I live?",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "I look.",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "k1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "find",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
        },
    ],
)
def test_messages_in_numbered_attributes_are_read(numbered: Json) -> None:
    assert read({"attributes": numbered}).entries == (
        Entry(Role.USER, "Where do I live?"),
        Entry(Role.ASSISTANT, "I look.", (ToolCall("find", "{}", "k1"),)),
    )


def test_spans_without_content_tell_what_to_do() -> None:
    with pytest.raises(
        InputError, match="its 2 spans hold no messages; turn on the capture of message content"
    ):
        read(span(1), span(2))


@pytest.mark.parametrize(
    "start", [0, "1770000000000000004", 1770000000.5, [1770000000, 4], "soon", 1e300, None]
)
def test_a_start_of_any_kind_is_read(start: Any) -> None:
    assert read({**SECOND, "start_time": start}).entries == TALK


def test_it_holds_to_what_every_format_promises() -> None:
    records = [json.dumps(record).encode() for record in (HOME, FIRST, SECOND)]
    check_format(records, inside=["attributes", "context"])
