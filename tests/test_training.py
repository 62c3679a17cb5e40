"""Training examples: what stood before a response, without its memories, in the form that tuning takes."""

import json
from dataclasses import replace
from typing import Any

from memscope.conversation.readers import build_conversation, parse_conversation
from memscope.training import example, to_examples


def messages(*given: dict[str, Any], response: int = -1) -> list[dict[str, Any]]:
    """The example for one of these messages, the last if none is named."""
    data = "".join(json.dumps(message) + "\n" for message in given).encode()
    return example(parse_conversation(data, "talk.jsonl", "talk"), response % len(given))


def system(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "system", "content": text, **more}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str | None, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}


def tool(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": text, **more}


def call(name: str, identity: str | None = None, arguments: str = "{}") -> dict[str, Any]:
    found = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return found if identity is None else {"id": identity, **found}


def test_it_is_all_that_was_said_before_the_response_without_the_memories() -> None:
    given = [
        system("You plan trips."),
        system("Nora lives in Bergen.", memory_key="home"),
        user("Where do I start?"),
        assistant("From Bergen."),
        user("And then?"),
        assistant("Oslo."),
    ]
    assert messages(*given, response=3) == [given[0], given[2], given[3]]
    assert messages(*given) == [given[0], *given[2:]]


def test_nothing_but_role_and_content_is_taken_over() -> None:
    given = [
        {**user("Hello"), "name": "nora", "timestamp": "2026-03-06T12:00:00Z", "memory_score": 3},
        {**assistant("Hello."), "name": "planner"},
    ]
    assert messages(*given) == [user("Hello"), assistant("Hello.")]


class TestSpans:
    """A memory inside a message is cut out, and the white space around it tidied."""

    TAG = '<memory key="home">Bergen</memory>'

    def said(self, text: str) -> str | None:
        first, *rest = messages(system(text), user("Where?"), assistant("There."))
        return first["content"] if rest[1:] else None

    def test_between_words_a_space_stays(self) -> None:
        assert self.said(f"Be brief. {self.TAG} Be kind.") == "Be brief. Be kind."

    def test_between_lines_a_line_end_stays(self) -> None:
        assert self.said(f"Be brief.\n{self.TAG}\nBe kind.") == "Be brief.\nBe kind."

    def test_between_paragraphs_one_blank_line_stays(self) -> None:
        assert self.said(f"Be brief.\n\n{self.TAG}\n{self.TAG}\n\nBe kind.") == "Be brief.\n\nBe kind."

    def test_at_the_ends_nothing_stays(self) -> None:
        assert self.said(f"{self.TAG}\n\nBe brief.\n{self.TAG}\n") == "Be brief."

    def test_a_message_that_was_nothing_else_is_left_out(self) -> None:
        assert self.said(f"{self.TAG}\n{self.TAG}") is None

    def test_other_white_space_is_left_alone(self) -> None:
        assert self.said(f"a  b\n\n\n\nc {self.TAG}d") == "a  b\n\n\n\nc d"

    def test_a_users_message_keeps_what_the_user_said(self) -> None:
        assert messages(user(f"{self.TAG} Where?"), assistant("There.")) == [
            user("Where?"),
            assistant("There."),
        ]


def test_thinking_is_left_out_of_every_response() -> None:
    given = [
        user("Where?"),
        assistant("<think>Bergen?</think>\n\nIn Bergen."),
        user("Sure?"),
        assistant("<think>Hm.</think> Yes."),
    ]
    assert messages(*given) == [user("Where?"), assistant("In Bergen."), user("Sure?"), assistant("Yes.")]


def test_a_response_that_only_thought_is_left_out() -> None:
    given = [user("Where?"), assistant("<think>Bergen?</think>"), user("Well?"), assistant("In Bergen.")]
    assert messages(*given) == [given[0], *given[2:]]


class TestTools:
    """Calls and answers belong together, in the form of OpenAI's messages."""

    def test_calls_and_answers_keep_their_ids_and_arguments(self) -> None:
        given = [
            user("Rain?"),
            assistant(None, call("weather", "c1", '{"city": "Bergen"}'), call("clock", "c2")),
            tool("Noon.", tool_call_id="c2"),
            tool("Rain.", tool_call_id="c1"),
            assistant("Yes."),
        ]
        assert messages(*given) == given

    def test_a_response_may_be_a_call(self) -> None:
        given = [user("Rain?"), assistant(None, call("weather", "c1"))]
        assert messages(*given) == given

    def test_calls_without_ids_get_one_each_and_so_do_their_answers(self) -> None:
        found = messages(
            user("Rain?"),
            assistant("Let me see.", call("weather"), call("clock", "call_1"), call("clock")),
            tool("Noon.", name="clock"),
            tool("Rain."),
            tool("One."),
            assistant("Yes.", call("weather")),
        )
        first, second, third = (one["id"] for one in found[1]["tool_calls"])
        assert (first, second, third) == ("call_2", "call_1", "call_3")
        assert [message["tool_call_id"] for message in found[2:5]] == [second, first, third]
        assert found[5]["tool_calls"][0]["id"] == "call_4"

    def test_what_a_tool_says_without_a_call_is_spoken_by_the_user(self) -> None:
        given = [user("Rain?"), tool("It rains."), tool("Wet.", tool_call_id="gone"), assistant("Yes.")]
        assert messages(*given) == [user("Rain?"), user("It rains."), user("Wet."), assistant("Yes.")]

    def test_a_call_whose_answer_was_nothing_but_memories_goes_with_it(self) -> None:
        recalled = '<memory key="home">Bergen</memory>'
        given = [
            user("Where?"),
            assistant(None, call("recall", "c1")),
            tool(recalled, tool_call_id="c1"),
            assistant("Let me see.", call("recall", "c2"), call("map", "c3")),
            tool("Bergen.", tool_call_id="c2", memory_key="home"),
            tool("A map.", tool_call_id="c3"),
            assistant("In Bergen."),
        ]
        assert messages(*given) == [
            user("Where?"),
            assistant("Let me see.", call("map", "c3")),
            tool("A map.", tool_call_id="c3"),
            assistant("In Bergen."),
        ]

    def test_an_answer_that_was_empty_all_along_stays(self) -> None:
        given = [
            user("Save."),
            assistant(None, call("save", "c1")),
            tool("", tool_call_id="c1"),
            assistant("Done."),
        ]
        assert messages(*given) == given


def test_an_example_is_a_line_each_in_the_order_asked_for() -> None:
    talk = b'{"role": "user", "content": "a\\nb"}\n{"role": "assistant", "content": "c"}\n' * 2
    conversation = parse_conversation(talk, "talk.jsonl", "talk")
    lines = to_examples(conversation, [3, 1]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"messages": [user("a\nb"), assistant("c")] * 2},
        {"messages": [user("a\nb"), assistant("c")]},
    ]
    assert to_examples(conversation, []) == b""


def test_it_has_only_what_stood_in_the_context_of_the_response_and_the_system_prompt() -> None:
    given = [
        system("You plan trips."),
        user("Where?"),
        assistant("Oslo."),
        user("More?"),
        assistant("Bergen."),
    ]
    data = "".join(json.dumps(message) + "\n" for message in given).encode()
    whole = parse_conversation(data, "talk.jsonl", "talk")
    entries = [replace(entry, context=int(at > 2)) for at, entry in enumerate(whole.entries)]
    parted = build_conversation(entries, whole.source)

    assert example(parted, 4) == [given[0], *given[3:]]
    assert example(parted, 2) == given[:3]
