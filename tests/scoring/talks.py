"""Conversations of many turns, and numbers that are equal but for rounding."""

from typing import Any

import pytest

from memscope.conversation.model import Conversation
from tests.scorers_fake import conversation


def turns(*facts: str | None, tail: int = 0) -> Conversation:
    """For each fact a memory, unless it is None, a question and a response; then `tail` turns without one."""
    messages = [("system", "You plan trips.")]
    for number, fact in enumerate((*facts, *[None] * tail)):
        messages += [(fact, f"A fact that is called {fact}.")] if fact else []
        messages += [("user", f"Question {number}?"), ("assistant", f"Answer {number} is about trains.")]
    return conversation(*messages)


def close(value: Any) -> Any:
    """Equal but for rounding."""
    return pytest.approx(value, abs=1e-4)
