"""Applying rules to a conversation: each text once, and what every rule promises of any text."""

import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Entry, Role, Source, Span, ToolCall
from memscope.conversation.readers import FORMATS, Reading, build_conversation
from memscope.conversation.rules import PACK, Finder, Found, Passage
from memscope.conversation.rules.user import read_rules
from tests.conversation.rules.found import entry, places

ENTRIES = [
    Entry(Role.SYSTEM, "a"),
    Entry(Role.ASSISTANT, "b", tool_calls=(ToolCall("look", "{}", "c1"),)),
    Entry(Role.TOOL, "c", tool_call_id="c1"),
    Entry(Role.USER, "d", memory_key="whole"),
    Entry(Role.USER, "e"),
]


class Recording:
    """Finds every text to be a memory, and keeps which passages it was shown."""

    name = "recording"

    def __init__(self) -> None:
        self.shown: list[Passage] = []

    def find(self, passage: Passage, seconds: float) -> Iterator[Found]:
        self.shown.append(passage)
        whole = Span(0, len(passage.text))
        yield Found(passage.text, whole, whole, self.name)


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_a_rule_sees_what_is_neither_the_agents_nor_a_whole_memory(recording: Recording) -> None:
    Finder([recording]).find(ENTRIES)

    assert recording.shown == [
        Passage("a", Role.SYSTEM),
        Passage("c", Role.TOOL, tool="look"),
        Passage("e", Role.USER),
    ]


def test_texts_that_were_read_are_not_read_again(recording: Recording) -> None:
    finder = Finder([recording])
    first = finder.find(ENTRIES)
    again = finder.find([*ENTRIES[:4], Entry(Role.USER, "e", timestamp="other"), Entry(Role.USER, "f")])

    assert again[: len(first)] == first
    assert [passage.text for passage in recording.shown] == ["a", "c", "e", "f"]


def test_a_text_is_read_again_as_the_result_of_another_tool(recording: Recording) -> None:
    finder = Finder([recording])
    finder.find(ENTRIES)
    finder.find(
        [ENTRIES[0], Entry(Role.ASSISTANT, "", tool_calls=(ToolCall("other", "{}", "c1"),)), ENTRIES[2]]
    )

    assert [passage.tool for passage in recording.shown if passage.text == "c"] == ["look", "other"]


def test_a_file_that_grows_is_read_by_the_rules_given(recording: Recording) -> None:
    reading = Reading(FORMATS, "log", "log", [recording])
    reading.feed(b'{"role": "user", "content": "one"}\n')
    reading.conversation()
    reading.feed(b'{"role": "user", "content": "two"}\n')

    assert [memory.key for memory in reading.conversation().memories] == ["one", "two"]
    assert [passage.text for passage in recording.shown] == ["one", "two"]


def test_a_long_conversation_is_read_in_a_moment() -> None:
    roles = [Role.SYSTEM, Role.USER, Role.TOOL, Role.ASSISTANT]
    said = "the <b>quick</b> `brown` # fox = jumps\n" * 250
    entries = [Entry(roles[number % 4], f"{said}{number}") for number in range(4000)]
    finder = Finder(PACK)
    began = time.process_time()

    finder.find(entries)
    finder.find(entries)

    assert time.process_time() - began < 1


def test_whole_entries_are_told_apart_by_who_marked_them() -> None:
    entries = [
        Entry(Role.USER, "x", memory_key="a", injected=True),
        Entry(Role.USER, "x", memory_key="b"),
    ]
    memories = build_conversation(entries, Source("log", "native", "log")).memories
    assert [memory.places[0].rule for memory in memories] == ["attachment", "memory_key"]


USERS = read_rules(
    [
        {"name": "note", "pattern": r"\[(?P<key>\w*)\](?P<text>[^\[\n]*)"},
        {"name": "json", "tool": "x", "items": "results[*]", "text": "text"},
    ],
    "config.toml",
)
pieces = st.sampled_from(
    [
        *["<relevant-memories>", "</relevant-memories>", "<memory key=k>", "</memory>", "<loaded_context>"],
        *["</loaded_context>", "--- Context from: a ---\n", "--- End of Context from: a ---\n"],
        *["<memory_blocks>", "<human>", "<value>", "</value>", "</human>", "</memory_blocks>"],
        *[
            "═" * 9 + "\n",
            "USER PROFILE [1% — 9/9 chars]\n",
            "\nUser Context:",
            "\n= MEMORY_SUMMARY BEGINS =\n",
        ],
        *["\n= MEMORY_SUMMARY ENDS =\n", "\n# AGENTS.md instructions for /a\n", "<INSTRUCTIONS>"],
        *[
            "</INSTRUCTIONS>",
            "\n§\n",
            "\n1. ",
            "\n- ",
            "\n## ",
            "[id: a]",
            "[n]",
            "\n```\n",
            "`",
            "x",
            " ",
            "\n",
        ],
        *['{"results":', "[", "]", "{", "}", ",", '"text":', '"id":', '"y"', "1"],
    ]
)
json_values = st.recursive(
    st.sampled_from(["x", "", "a]b", 'q"', "\\", 1, None, True]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["results", "data", "text", "memory", "id", "key", "error"]), inner)
    ),
    max_leaves=12,
)


def check(one: Entry) -> None:
    position = 0
    for key, place in places(one, (*USERS, *PACK)):
        assert place.span is not None
        assert position <= place.span.start <= place.inner.start <= place.inner.end <= place.span.end
        assert key.strip()
        assert place.rule
        position = place.span.end
    assert position <= len(one.text)


@given(
    st.lists(pieces, max_size=40).map("".join) | st.text(max_size=60),
    st.sampled_from(Role),
    st.sampled_from([None, "x", "search_memory"]),
    st.booleans(),
)
def test_spans_lie_in_any_text_and_do_not_overlap(
    text: str, role: Role, tool: str | None, injected: bool
) -> None:
    check(entry(text, role, tool, injected))


@given(json_values, st.sampled_from([None, 1]), st.sampled_from(["x", "search_memory"]))
def test_spans_lie_in_any_json_and_do_not_overlap(value: object, indent: int | None, tool: str) -> None:
    check(entry(json.dumps(value, indent=indent), Role.TOOL, tool))


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True),
    st.sampled_from(["- ", "1. ", "## "]),
)
def test_nothing_that_a_block_says_is_left_without_its_memories(numbers: list[int], mark: str) -> None:
    body = "".join(f"{mark}says {number};\n" for number in numbers)
    given = entry(f"Before.\n<relevant-memories>\nKnow:\n{body}</relevant-memories>\nAfter.")
    text = given.text
    for _, place in reversed(places(given)):
        assert place.span is not None
        text = text[: place.span.start] + text[place.span.end :]

    assert "says" not in text
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.")
