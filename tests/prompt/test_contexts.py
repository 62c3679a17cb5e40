"""A conversation in several contexts: each stands in the prompt as it would by itself."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Conversation, Entry
from memscope.prompt import build_prompt
from memscope.scorers.tokenizer import FolderTokenizer
from tests.model_folder import TEMPLATES
from tests.prompt.conversations import SYSTEM, USER, anything, conversation, exchanges, said, text_of


def divided(read: Conversation, cuts: set[int]) -> Conversation:
    """The conversation with a new context from each of these entries on."""
    entries = (replace(e, context=sum(cut <= n for cut in cuts)) for n, e in enumerate(read.entries))
    return conversation(*entries)


@pytest.mark.parametrize("template", TEMPLATES)
@given(read=exchanges([SYSTEM, USER]), cuts=st.sets(st.integers(1, 12), max_size=3))
def test_a_turn_stands_in_one_context_which_is_that_of_its_entries(
    tokenizers: dict[str, FolderTokenizer], template: str, read: Conversation, cuts: set[int]
) -> None:
    read = divided(read, cuts)

    prompt = build_prompt(read, tokenizers[template])

    for entry, context in zip(prompt.entry.tolist(), prompt.context.tolist(), strict=True):
        assert entry < 0 or context == read.entries[entry].context
    for turn in set(prompt.turn.tolist()):
        assert turn < 0 or len(set(prompt.context[prompt.turn == turn].tolist())) == 1


@pytest.mark.parametrize("template", TEMPLATES)
@given(read=anything, cuts=st.sets(st.integers(1, 7), max_size=3))
def test_one_context_follows_the_other_whatever_they_hold(
    tokenizers: dict[str, FolderTokenizer], template: str, read: Conversation, cuts: set[int]
) -> None:
    read = divided(read, cuts)

    prompt = build_prompt(read, tokenizers[template])

    assert (np.diff(prompt.context) >= 0).all()
    assert set(prompt.context.tolist()) <= {entry.context for entry in read.entries}


@pytest.mark.parametrize("template", ["chatml", "llama3"])
@given(read=exchanges([SYSTEM, USER]), data=st.data())
def test_behind_the_system_prompt_a_context_says_what_it_would_say_by_itself(
    tokenizers: dict[str, FolderTokenizer], template: str, read: Conversation, data: st.DataObject
) -> None:
    answers = [n + 1 for n in read.responses[:-1]]
    read = divided(read, data.draw(st.sets(st.sampled_from(answers))) if answers else set())
    prompt = build_prompt(read, tokenizers[template])

    for context in range(read.contexts):
        alone = conversation(*(e for n, e in enumerate(read.entries) if n == 0 or e.context == context))
        whole = build_prompt(alone, tokenizers[template])
        kept = prompt.head | (prompt.context == context)
        assert text_of(prompt, kept).startswith(text_of(whole, np.ones(len(whole.ids), np.bool_)))


@pytest.mark.parametrize("template", TEMPLATES)
def test_users_on_both_sides_of_a_compaction_stay_apart(
    tokenizers: dict[str, FolderTokenizer], template: str
) -> None:
    talk = [Entry(SYSTEM, "Help."), Entry(USER, "One?"), said("Two."), Entry(USER, "Three?")]
    later = [Entry(USER, "She asked one and three."), said("Four.")]
    read = conversation(*talk, *(replace(entry, context=1) for entry in later))

    prompt = build_prompt(read, tokenizers[template])

    (start,) = [at + 1 for at, (one, two) in enumerate(pairwise(prompt.context.tolist())) if one < two]
    assert prompt.turn[start] != prompt.turn[start - 1]
    after = text_of(prompt, prompt.context == 1)
    assert "She asked one and three." in after
    assert "Three?" not in after
    assert "Three?" in text_of(prompt, prompt.context == 0)
