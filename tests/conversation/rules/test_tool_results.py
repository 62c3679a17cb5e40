"""Memories in what memory tools give."""

import json
import time
from typing import Any

import pytest

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.rules import find_memories
from tests.conversation.rules.found import entry, keys, places, said, texts, without

ITEMS = [{"id": "a", "memory": "Lives in Lyon.", "score": 0.9}, {"id": "b", "memory": 'Says "[hi],".'}]


def result(given: Any, tool: str = "search_memories", indent: int | None = None) -> Entry:
    return entry(given if isinstance(given, str) else json.dumps(given, indent=indent), Role.TOOL, tool)


@pytest.mark.parametrize(
    "tool",
    [
        "search_memory",
        "search_memories",
        "recallMemory",
        "getmemories",
        "load_memory",
        "memory_search",
        "memory_get",
        "memory_render",
        "archival_memory_search",
        "conversation_search",
        "mcp__mem0__search_memories",
    ],
)
def test_results_of_memory_tools_hold_memories(tool: str) -> None:
    assert keys(result(ITEMS, tool)) == ["a", "b"]


@pytest.mark.parametrize(
    "tool",
    [
        "",
        "Bash",
        "add_memory",
        "forget_memory",
        "memory_store",
        "get_memory_usage",
        "target_memory",
        "search",
    ],
)
def test_results_of_other_tools_hold_none(tool: str) -> None:
    assert keys(result(ITEMS, tool)) == []


def test_a_tool_is_known_by_the_call_that_it_answers() -> None:
    call = Entry(
        Role.ASSISTANT, "", tool_calls=(ToolCall("search_memory", "{}", "c1"), ToolCall("Bash", "{}", "c2"))
    )
    answers = [Entry(Role.TOOL, json.dumps(ITEMS), tool_call_id=id_) for id_ in ("c2", "c1", "c3")]

    assert [memory.entries for memory in find_memories([call, *answers])] == [(2,), (2,)]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "around",
    [
        lambda items: items,
        lambda items: {"results": items},
        lambda items: {"results of": "x", "memories": items, "total": 2},
        lambda items: {"data": {"items": items}},
    ],
)
def test_items_are_found_in_a_list_or_in_an_object_that_holds_one(around: Any, indent: int | None) -> None:
    given = result(around(ITEMS), indent=indent)

    assert said(given) == [("a", "Lives in Lyon."), ("b", r"Says \"[hi],\".")]
    assert json.loads(without(given, 0)) == around(ITEMS[1:])
    assert {place.rule for _, place in places(given)} == {"tool result"}


@pytest.mark.parametrize("indent", [None, 1])
def test_left_out_items_take_the_commas_between_them_along(indent: int | None) -> None:
    three = [{"id": each, "text": each} for each in "abc"]
    given = result(three, indent=indent)

    assert json.loads(without(given, 0)) == three[1:]
    assert json.loads(without(given, 1)) == [three[0], three[2]]
    assert without(given).split() == ["[", "]"] or without(given) == "[]"


def test_the_last_item_takes_the_comma_before_it_if_nothing_else_does() -> None:
    given = result([{"count": 1}, {"id": "a", "text": "x"}])
    assert json.loads(without(given)) == [{"count": 1}]


@pytest.mark.parametrize(
    ("item", "key", "text"),
    [
        ({"key": "k", "value": "x"}, "k", "x"),
        ({"namespace": ["u", "ada"], "key": "k", "value": {"content": "x"}}, "u/ada/k", '{"content": "x"}'),
        ({"path": "m/a.md", "snippet": "x"}, "m/a.md", "x"),
        ({"path": "m/a.md", "startLine": 3, "endLine": 5, "snippet": "x"}, "m/a.md#L3-L5", "x"),
        ({"id": 7, "text": "x"}, "7", "x"),
        ({"id": None, "memory_id": "m", "text": "", "content": "x"}, "m", "x"),
        ({"content": "x", "id": "\ud800"}, "?", "x"),
        ({"id": "1", "text": "id"}, "1", "id"),
    ],
)
def test_an_item_names_itself_and_its_text(item: Any, key: str, text: str) -> None:
    assert said(result([item, {}])) == [(key, text)]


def test_items_that_are_texts_are_known_by_them() -> None:
    assert [key.partition("#")[0] for key in keys(result(["x", "", 1, "y"], "mcp__m__get_memories"))] == [
        "get_memories",
        "get_memories",
    ]


def test_the_same_id_again_is_a_copy_of_the_same_memory() -> None:
    memories = find_memories([result(ITEMS), result({"results": ITEMS[:1]})])
    assert [memory.entries for memory in memories] == [(0, 1), (0,)]


def test_values_one_after_the_other_are_items_each() -> None:
    assert keys(result("\n".join(map(json.dumps, ITEMS)))) == ["a", "b"]


def test_an_object_with_a_text_is_one_memory() -> None:
    assert said(result({"path": "m/a.md", "text": "x"}, "memory_get")) == [("m/a.md", "x")]


@pytest.mark.parametrize(
    "given",
    [
        [],
        {},
        {"results": []},
        {"results": [], "text": "None matched."},
        {"error": "down", "memories": ITEMS},
        {"isError": True, "content": "down"},
        {"success": False, "message": "down", "text": "x"},
        {"count": 1},
        [[], 1, None, {"id": "a"}],
        "",
        " \n",
        "null",
        "No memories found.",
        "No relevant memories were found for this query.",
        "Error: connection refused",
        "<tool_use_error>No such tool</tool_use_error>",
    ],
)
def test_an_error_or_an_empty_result_is_no_memory(given: Any) -> None:
    assert keys(result(given)) == []


def test_other_text_is_split_like_a_block_or_one_memory() -> None:
    assert texts(result("Found 2 memories:\n1. Lyon [mem0:a]\n2. Tea [mem0:b]\n")) == [
        "Lyon [mem0:a]",
        "Tea [mem0:b]",
    ]
    assert texts(result("Ada lives in Lyon.\n")) == ["Ada lives in Lyon."]
    assert without(result("Ada lives in Lyon.\n")) == ""


def test_a_tag_at_the_start_goes_before_the_whole_result() -> None:
    given = result('<memory key="a">Lyon</memory>')
    assert [(key, place.rule) for key, place in places(given)] == [("a", "memory tag")]


@pytest.mark.parametrize("unit", ["[", "[]", '{"a":', "{} ", "1. x\n", "\\", '"a" ', "no "])
def test_a_large_result_is_read_in_a_moment(unit: str) -> None:
    given = result(unit * (1_000_000 // len(unit)))
    began = time.process_time()

    keys(given)

    assert time.process_time() - began < 4
