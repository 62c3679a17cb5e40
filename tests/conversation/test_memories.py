"""Where memories stand: whole entries, and tagged spans in what the agent was given to read."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Entry, Memory, Place, Role, Span
from memscope.conversation.rules import find_memories

TAG = '<memory key="home/city">Lives in Lyon.</memory>'


def keys(text: str, role: Role = Role.SYSTEM) -> list[str]:
    return [memory.key for memory in find_memories([Entry(role, text)])]


def test_an_entry_with_a_key_is_one_memory_whatever_its_role() -> None:
    entries = [Entry(role, "Lives in Lyon.", memory_key=f"as {role}") for role in Role]

    assert find_memories(entries) == tuple(
        Memory(f"as {role}", (Place(index, Span(0, 14), rule="memory_key"),))
        for index, role in enumerate(Role)
    )


def test_a_tag_marks_its_extent_and_the_text_inside() -> None:
    text = f"You help.\n{TAG}\nBe brief."

    [memory] = find_memories([Entry(Role.SYSTEM, text)])
    [place] = memory.places

    assert (memory.key, place.entry, place.span is not None) == ("home/city", 0, True)
    assert place.span is not None
    assert text[place.span.start : place.span.end] == TAG
    assert text[place.inner.start : place.inner.end] == "Lives in Lyon."


@pytest.mark.parametrize(("role", "injected"), [(Role.SYSTEM, False), (Role.USER, True)])
def test_tags_count_anywhere_in_what_the_program_wrote(role: Role, injected: bool) -> None:
    entry = Entry(role, f'x {TAG} y <memory key="b">z</memory>', injected=injected)
    assert [memory.key for memory in find_memories([entry])] == ["home/city", "b"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{TAG}Hi", ["home/city"]),
        (f" \n{TAG}\n\n<memory key=b>x</memory> Hi", ["home/city", "b"]),
        (f"Why does {TAG} stand there?", []),
        (f"{TAG} Hi <memory key=b>x</memory>", ["home/city"]),
        (f"<memory>x</memory>{TAG}", []),
    ],
)
@pytest.mark.parametrize("role", [Role.USER, Role.TOOL])
def test_the_tags_of_users_and_tools_count_only_at_the_start(text: str, found: list[str], role: Role) -> None:
    assert keys(text, role) == found


@pytest.mark.parametrize(
    "text",
    [
        f"Mark it so: `{TAG}`",
        f"``x ` {TAG}``",
        f"```\n{TAG}\n```",
        f"~~~ xml\n```\n{TAG}\n~~~~",
        f"  ```md\n{TAG}\n```\n",
    ],
)
def test_a_tag_in_code_is_quoted(text: str) -> None:
    assert keys(text) == []


@pytest.mark.parametrize(
    "text",
    [
        f"`x` {TAG} `y`",
        f"a ` alone {TAG}",
        f"a ` alone\n{TAG} ` b",
        f"```\nx\n```\n{TAG}\n```\ny\n```",
        f"```\nnever closed\n{TAG}",
        f"{TAG}\n```",
    ],
)
def test_code_beside_a_tag_does_not_quote_it(text: str) -> None:
    assert keys(text) == ["home/city"]


def test_code_inside_a_memory_does_not_quote_what_follows() -> None:
    assert keys(f"<memory key=a>```\nx</memory>\n{TAG}\n<memory key=b>\n```</memory>") == [
        "a",
        "home/city",
        "b",
    ]


def test_what_the_agent_says_holds_no_memory() -> None:
    assert keys(TAG, Role.ASSISTANT) == []


def test_tags_inside_a_memory_entry_are_its_text() -> None:
    [memory] = find_memories([Entry(Role.SYSTEM, TAG, memory_key="whole")])

    assert (memory.key, memory.places[0].span) == ("whole", None)


@pytest.mark.parametrize(
    ("opening", "key"),
    [
        ('<memory key="a b/ c">', "a b/ c"),
        ("<memory key='say \"hi\"'>", 'say "hi"'),
        ("<memory key=a/b-c.d>", "a/b-c.d"),
        ('<memory key = "a">', "a"),
        ('<memory\n  id="1"\n  key="a"\n  date="2026">', "a"),
        ('<memory id="1", key="a">', "a"),
        ('<memory data-key="x" key="a">', "a"),
        ('<memory title="key=x y" key="a">', "a"),
        ('<memory key="1 < 2 > 0">', "1 < 2 > 0"),
        ('<memory key="👩‍🚀[/red]">', "👩‍🚀[/red]"),
        ('<memory key="a" key="b">', "a"),
    ],
)
def test_keys_are_read_from_any_way_to_write_the_tag(opening: str, key: str) -> None:
    assert keys(f"x {opening}text</memory>") == [key]


@pytest.mark.parametrize(
    "text",
    [
        "<memory>x</memory>",
        '<memory key="">x</memory>',
        '<memory key=" ">x</memory>',
        '<memory id="a">x</memory>',
        '<memory data-key="a">x</memory>',
        '<memory key="a">never closed',
        '<memory key="a>x</memory>',
        "<memory key=>x</memory>",
        '<memorykey="a">x</memory>',
        '<memories key="a">x</memory>',
        "</memory>",
    ],
)
def test_what_is_no_whole_tag_with_a_key_marks_nothing(text: str) -> None:
    assert keys(text) == []


def test_a_tag_reaches_to_the_first_closing_one() -> None:
    text = '<memory key="a">x<memory key="b">y</memory>z</memory>'

    [memory] = find_memories([Entry(Role.SYSTEM, text)])

    assert memory.key == "a"
    assert memory.places[0].span == Span(0, text.index("z"))


def test_one_key_has_all_its_places_and_keys_stand_by_first_place() -> None:
    entries = [
        Entry(Role.SYSTEM, '<memory key="b">1</memory><memory key="a">2</memory><memory key="b">3</memory>'),
        Entry(Role.USER, "Hi"),
        Entry(Role.SYSTEM, "4", memory_key="a"),
        Entry(Role.SYSTEM, "5", memory_key="c"),
        Entry(Role.TOOL, "<memory key=b>6</memory>"),
    ]

    memories = find_memories(entries)

    assert [(memory.key, memory.entries) for memory in memories] == [
        ("b", (0, 4)),
        ("a", (0, 2)),
        ("c", (3,)),
    ]
    assert [len(memory.places) for memory in memories] == [3, 2, 1]


@pytest.mark.parametrize(
    "text",
    [
        "<memory " + "key=a " * 200_000,
        "<memory " + "key " * 200_000,
        "<memory " + "k" * 1_000_000,
        "<memory key=" + " " * 1_000_000,
        '<memory key="' * 80_000,
        "<memory key='\"" * 80_000,
        '<memory key="a">' * 60_000,
        "<memory x>" * 100_000,
        "<memory =" * 100_000 + "'",
        '<memory key="a">x</memory>' * 30_000,
    ],
)
def test_a_megabyte_made_to_be_slow_is_searched_in_a_moment(text: str) -> None:
    began = time.process_time()

    keys(text)

    assert time.process_time() - began < 3


fragments = st.sampled_from(
    ["<memory ", "<memory", "key=", '"', "'", ">", "</memory>", "a", " ", "=", "x", '<memory key="k">', "\n"]
)


@given(st.lists(fragments, max_size=30).map("".join), st.sampled_from(Role))
def test_spans_are_whole_tags_in_order_that_do_not_overlap(text: str, role: Role) -> None:
    places = [place for memory in find_memories([Entry(role, text)]) for place in memory.places]
    spans = sorted((place.span for place in places if place.span), key=lambda span: span.start)

    assert len(spans) == len(places)
    for place in places:
        assert place.span is not None
        assert text[place.span.start : place.inner.start].startswith("<memory")
        assert text[place.inner.end : place.span.end] == "</memory>"
    for before, after in pairwise(spans):
        assert before.end <= after.start
