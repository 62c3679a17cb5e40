"""What an agent thought stands apart from what it said."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Entry, Role
from memscope.conversation.thinking import thinking_spans


def thoughts(text: str) -> list[str]:
    return [text[span.start : span.end] for span in thinking_spans(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello", []),
        ("<think>hm</think>Hello", ["<think>hm</think>"]),
        ("<think>\nhm\n</think>\n\nHello", ["<think>\nhm\n</think>\n\n"]),
        ("<think></think> \n", ["<think></think> \n"]),
        ("One <think>a</think> two <think>b</think>", ["<think>a</think> ", "<think>b</think>"]),
        ("hm\n</think>\n\nHello", ["hm\n</think>\n\n"]),
        ("Hello <think>never closed", ["<think>never closed"]),
        ("<think>a<think>b</think>c", ["<think>a<think>b</think>"]),
        ("<think>a</think>b</think>c", ["<think>a</think>"]),
    ],
)
def test_thinking_is_its_tags_and_the_white_space_after_them(text: str, parts: list[str]) -> None:
    assert thoughts(text) == parts


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", " ", "\n"]), max_size=20).map("".join))
def test_what_was_said_and_thought_is_the_whole_text(text: str) -> None:
    spans = thinking_spans(text)
    said = Entry(Role.ASSISTANT, text, thinking=spans).said

    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert len(said) + sum(span.end - span.start for span in spans) == len(text)
    assert "<think>" not in said


def test_thinking_made_to_be_slow_is_found_in_a_moment() -> None:
    began = time.process_time()

    thinking_spans("<think>" * 100_000 + ("</think>" + " " * 100) * 10_000)

    assert time.process_time() - began < 3
