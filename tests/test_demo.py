"""What the shipped conversation must contain, read straight from its JSON lines."""

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from memscope.demo import demo_path

Line = dict[str, Any]


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def first_place(lines: list[Line]) -> dict[str, int]:
    """The line where each memory first stands, by key."""
    first: dict[str, int] = {}
    for index, line in enumerate(lines):
        if "memory_key" in line:
            first.setdefault(line["memory_key"], index)
    return first


@pytest.fixture(scope="module")
def responses(lines: list[Line]) -> list[int]:
    return [index for index, line in enumerate(lines) if line["role"] == "assistant"]


def test_every_line_is_a_chat_message_in_the_native_format(lines: list[Line]) -> None:
    for line in lines:
        assert line["role"] in {"system", "user", "assistant", "tool"}
        assert isinstance(line["content"], str)
        assert line["content"].strip() == line["content"] != ""
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_timestamps_never_go_back(lines: list[Line]) -> None:
    times = [datetime.fromisoformat(line["timestamp"]) for line in lines]
    assert times == sorted(times)


def test_the_file_ends_with_a_whole_line() -> None:
    assert demo_path().read_bytes().endswith(b"}\n")


def test_the_first_line_is_the_system_prompt_and_no_memory(lines: list[Line]) -> None:
    assert lines[0]["role"] == "system"
    assert "memory_key" not in lines[0]


def test_every_other_system_message_is_a_memory_and_every_memory_one(lines: list[Line]) -> None:
    for line in lines[1:]:
        assert (line["role"] == "system") == ("memory_key" in line)


def test_it_has_at_least_12_memories_and_16_responses(
    first_place: dict[str, int], responses: list[int]
) -> None:
    assert len(first_place) >= 12
    assert len(responses) >= 16


def test_the_last_line_is_a_response(lines: list[Line], responses: list[int]) -> None:
    assert responses[-1] == len(lines) - 1


def test_exactly_one_key_is_injected_twice_with_responses_between(
    lines: list[Line], responses: list[int]
) -> None:
    places = Counter(line["memory_key"] for line in lines if "memory_key" in line)
    assert [(key, count) for key, count in places.items() if count > 1] == [("health/left-knee", 2)]
    first, second = (i for i, line in enumerate(lines) if line.get("memory_key") == "health/left-knee")
    assert any(first < response < second for response in responses)


def test_one_memory_enters_late(first_place: dict[str, int], responses: list[int]) -> None:
    before = sum(response < first_place["people/ida"] for response in responses)
    assert before >= 0.8 * len(responses)


def test_two_memories_carry_the_same_sum(lines: list[Line]) -> None:
    carrying = {
        line["memory_key"] for line in lines if "memory_key" in line and "18,400 kroner" in line["content"]
    }
    assert carrying == {"trip/budget", "money/travel-jar"}


def test_the_misleading_memory_is_contradicted_by_a_later_one(
    lines: list[Line], first_place: dict[str, int]
) -> None:
    assert "Oslo" in lines[first_place["home/city"]]["content"]
    assert "Bergen" in lines[first_place["home/bergen"]]["content"]
    assert first_place["home/city"] < first_place["home/bergen"]


def test_no_response_speaks_of_the_unused_memory(lines: list[Line], responses: list[int]) -> None:
    assert "ficus" in " ".join(line["content"] for line in lines if line.get("memory_key") == "plants/ficus")
    assert not any("ficus" in lines[response]["content"] for response in responses)


def test_one_response_calls_a_tool_and_the_next_line_answers_it(lines: list[Line]) -> None:
    calling = [index for index, line in enumerate(lines) if "tool_calls" in line]
    assert len(calling) == 1
    (call,) = lines[calling[0]]["tool_calls"]
    assert call["type"] == "function"
    assert isinstance(json.loads(call["function"]["arguments"]), dict)
    answer = lines[calling[0] + 1]
    assert (answer["role"], answer["tool_call_id"]) == ("tool", call["id"])
    assert answer["name"] == call["function"]["name"]
    json.loads(answer["content"])
