"""What a conversation knows of its responses and memories."""

import pytest

from memscope.conversation.model import Conversation, Entry, Role, Source, ToolCall
from memscope.conversation.readers import build_conversation
from tests.conversation.messages import parse_one

CALL = ToolCall("f", "{}")


def conversation(*entries: Entry) -> Conversation:
    return build_conversation(list(entries), Source("log", "native", "log"))


@pytest.mark.parametrize(
    ("message", "response"),
    [
        ({"role": "assistant", "content": "Hi"}, True),
        ({"role": "assistant", "content": "<think>hm</think>Hi"}, True),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, True),
        ({"role": "assistant", "content": "<think>hm</think>", "function_call": {"name": "f"}}, True),
        ({"role": "assistant", "content": "<think>hm</think>\n"}, False),
        ({"role": "assistant", "content": " \n"}, False),
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": "Hi", "memory_key": "a"}, False),
        ({"role": "user", "content": "Hi"}, False),
        ({"role": "tool", "content": "Hi"}, False),
        ({"role": "system", "content": "Hi"}, False),
    ],
)
def test_a_response_is_what_the_agent_says_or_calls(message: dict[str, object], response: bool) -> None:
    assert parse_one(**message).responses == ((0,) if response else ())


def test_only_the_agents_own_text_has_thinking() -> None:
    assert parse_one(role="user", content="<think>x</think>").entries[0].thinking == ()
    assert parse_one(role="assistant", content="<think>x</think>", memory_key="a").entries[0].thinking == ()


def test_what_was_said_is_without_the_thinking() -> None:
    assert (
        parse_one(role="assistant", content="<think>a</think>\nb<think>c</think> d").entries[0].said == "bd"
    )


def test_a_memory_says_each_different_text_once() -> None:
    read = conversation(
        Entry(Role.SYSTEM, "Lives in Lyon.", memory_key="home"),
        Entry(Role.TOOL, "x <memory key=home>\nLives in Lyon.\n</memory> y"),
        Entry(Role.SYSTEM, "Moved to Paris.\n", memory_key="home"),
    )

    assert read.memory_text(read.memories[0]) == "Lives in Lyon.\n\nMoved to Paris."


def test_a_memory_lists_each_of_its_entries_once() -> None:
    read = conversation(
        Entry(Role.SYSTEM, "<memory key=a>1</memory> <memory key=a>2</memory>"),
        Entry(Role.ASSISTANT, "Hi", tool_calls=(CALL,)),
        Entry(Role.SYSTEM, "3", memory_key="a"),
    )

    assert read.memories[0].entries == (0, 2)
    assert read.responses == (1,)


COMPACTED = conversation(
    Entry(Role.SYSTEM, "Be brief. <memory key=style>No lists.</memory>"),
    Entry(Role.SYSTEM, "Lives in Lyon.", memory_key="home"),
    Entry(Role.ASSISTANT, "In Lyon."),
    Entry(Role.SYSTEM, "Summary.", context=1),
    Entry(Role.ASSISTANT, "In Lyon.", context=1, kept=True),
    Entry(Role.ASSISTANT, "By the Rhône.", context=1),
    Entry(Role.SYSTEM, "Lives in Paris.", memory_key="home", context=1),
    Entry(Role.ASSISTANT, "In Paris.", context=1),
)


def test_what_is_kept_from_the_context_before_is_not_a_response_again() -> None:
    assert COMPACTED.responses == (2, 5, 7)
    assert COMPACTED.contexts == 2
    assert conversation().contexts == 1


def test_the_system_prompt_stands_at_the_front_of_the_first_context() -> None:
    assert COMPACTED.system_prompt == {0}
    assert conversation(COMPACTED.entries[0], COMPACTED.entries[3]).system_prompt == {0}


def test_a_memory_precedes_a_response_in_its_context_or_from_the_system_prompt() -> None:
    style, home = COMPACTED.memories
    assert [COMPACTED.precedes(style, response) for response in COMPACTED.responses] == [True, True, True]
    assert [COMPACTED.precedes(home, response) for response in COMPACTED.responses] == [True, False, True]
