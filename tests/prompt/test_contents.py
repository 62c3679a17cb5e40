"""A content is tokenized as a whole, however many owners its parts have, as the agent's own model read it."""

import pytest

from memscope.conversation.model import Entry
from memscope.prompt import build_prompt
from memscope.scorers.tokenizer import FolderTokenizer
from tests.prompt.conversations import SYSTEM, USER, conversation, said


@pytest.fixture
def chatml(tokenizers: dict[str, FolderTokenizer]) -> FolderTokenizer:
    return tokenizers["chatml"]


@pytest.mark.parametrize(
    "entries",
    [
        [Entry(USER, "Where?"), said("<think>\nhm\n</think>\n\nIn Lyon.")],
        [Entry(USER, "Where?"), said("One.<think>two</think>\n\n\nThree.\n\n<think>four</think>Five.")],
        [Entry(SYSTEM, 'You.\n\n<memory key="a">Ana</memory>\n\nBe brief.'), said("In Lyon.")],
        [Entry(SYSTEM, 'Ana<memory key="a">lives</memory>in<memory key="b">Lyon</memory>now'), said("Yes.")],
    ],
    ids=["thinking", "thinking twice", "a span between paragraphs", "spans inside words"],
)
def test_parts_of_a_content_do_not_change_its_tokens(chatml: FolderTokenizer, entries: list[Entry]) -> None:
    assert build_prompt(conversation(*entries), chatml).differing == 0


def test_a_token_across_the_end_of_a_memory_goes_with_the_memory(chatml: FolderTokenizer) -> None:
    text = 'x <memory key="a">Ana</memory> y'
    plain = chatml.encode(text)
    joint = next(
        i for i, end in enumerate(plain.ends) if end > text.index("</memory>") + len("</memory>") - 1
    )
    prompt = build_prompt(conversation(Entry(SYSTEM, text), said("Yes.")), chatml)
    first = prompt.ids.tolist().index(plain.ids[0])

    assert prompt.memory[first + joint] == 0
    assert "".join(
        prompt.text[start:end]
        for start, end, memory in zip([0, *prompt.ends], prompt.ends, prompt.memory, strict=False)
        if memory < 0
    ).startswith("<|im_start|>system\nx")


def test_the_response_keeps_exactly_its_own_tokens_after_its_thinking(chatml: FolderTokenizer) -> None:
    prompt = build_prompt(
        conversation(Entry(USER, "Where?"), said("<think>\nhm\n</think>\n\nIn Lyon.")), chatml
    )

    assert "".join(prompt.token_texts(0)) == "In Lyon."
