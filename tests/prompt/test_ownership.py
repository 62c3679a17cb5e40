"""Who owns what in a prompt: responses, memories with their markup, and the part that every window keeps."""

import re

import pytest

from memscope.conversation.model import Conversation, Entry
from memscope.prompt import build_prompt
from memscope.scorers.tokenizer import FolderTokenizer
from tests.model_folder import QWEN3, open_folder
from tests.prompt.conversations import SYSTEM, TOOL, USER, called, conversation, runs, said, text_of, without

CALLING = conversation(
    Entry(USER, "Where?"),
    said("<think>\nhm\n</think>\n\nLooking.", called("find", city="Lyon"), called("f", n=1)),
    Entry(TOOL, "Here"),
    Entry(TOOL, "There"),
    said("", called("f")),
    Entry(TOOL, "42"),
    said("In Lyon."),
)


def test_a_template_writes_tool_calls_its_own_way(tokenizers: dict[str, FolderTokenizer]) -> None:
    prompt = build_prompt(CALLING, tokenizers["qwen3"])

    assert ["".join(prompt.token_texts(response)) for response in range(3)] == [
        'Looking.\n<tool_call>\n{"name": "find", "arguments": {"city": "Lyon"}}\n</tool_call>'
        '\n<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>',
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
        "In Lyon.",
    ]


def test_a_template_that_refuses_the_tool_calls_gets_them_as_text(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    prompt = build_prompt(CALLING, tokenizers["llama3"])

    assert "".join(prompt.token_texts(0)) == (
        'Looking.\n<tool_call>\n{"name": "find", "arguments": {"city": "Lyon"}}\n</tool_call>'
        '\n<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>'
    )


def test_text_that_a_template_leaves_out_beside_a_call_is_not_scored(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    read = conversation(
        Entry(USER, "Where?"), said("Looking.", called("find", city="Lyon")), Entry(TOOL, "x")
    )

    prompt = build_prompt(read, tokenizers["llama3"])

    assert "".join(prompt.token_texts(0)) == '{"name": "find", "parameters": {"city": "Lyon"}}'


ALTERNATING = QWEN3.replace(
    "{%- for message in messages %}",
    "{%- for message in messages %}"
    "{% if not loop.first and messages[loop.index0 - 1].role == message.role %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}",
)


def test_calls_of_merged_turns_belong_to_the_entry_that_makes_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    read = conversation(Entry(USER, "Where?"), said("One moment."), said("Looking.", called("f")))

    prompt = build_prompt(read, open_folder(tmp_path_factory.mktemp("alternating"), ALTERNATING))

    assert ["".join(prompt.token_texts(response)) for response in range(2)] == [
        "One moment.",
        'Looking.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    ]


def test_turns_after_tool_calls_are_merged_only_where_the_calls_are_text(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    read = conversation(Entry(USER, "Where?"), said("Looking.", called("f")), said("In Lyon."))

    prompt = build_prompt(read, open_folder(tmp_path_factory.mktemp("alternating"), ALTERNATING))

    assert ["".join(prompt.token_texts(response)) for response in range(2)] == [
        'Looking.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
        "In Lyon.",
    ]


def test_thinking_that_the_template_keeps_is_context_and_not_scored(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    read = conversation(Entry(USER, "Hi"), said("<think>\nhm\n</think>\n\nHello"))

    prompt = build_prompt(read, tokenizers["qwen3"])

    assert "<think>\nhm\n</think>\n\nHello" in prompt.text
    assert "".join(prompt.token_texts(0)) == "Hello"


def test_thinking_that_the_template_leaves_out_is_not_in_the_prompt(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    read = conversation(Entry(USER, "Hi"), said("<think>hm</think>Hello"), Entry(USER, "And?"), said("Bye"))

    prompt = build_prompt(read, tokenizers["qwen3"])

    assert "hm" not in prompt.text
    assert "".join(prompt.token_texts(0)) == "Hello"


SPOKEN_OF_HOME = conversation(
    Entry(SYSTEM, "You help."),
    Entry(SYSTEM, "Lives in Lyon.", memory_key="home"),
    Entry(USER, "<memory key=home>Lyon!</memory><memory key=diet>No nuts.</memory>Hi"),
    said("Hello"),
    Entry(SYSTEM, "Lives in Lyon.", memory_key="home"),
    Entry(USER, "Where?"),
    said("Lyon"),
)


def test_every_copy_of_a_memory_goes_with_it_whole_turns_with_their_markup(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    turn = "<|im_start|>system\nLives in Lyon.<|im_end|>\n"

    assert runs(build_prompt(SPOKEN_OF_HOME, tokenizers["chatml"])) == [
        (-1, "<|im_start|>system\nYou help.<|im_end|>\n"),
        (0, turn),
        (-1, "<|im_start|>user\n"),
        (0, "<memory key=home>Lyon!</memory>"),
        (1, "<memory key=diet>No nuts.</memory>"),
        (-1, "Hi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"),
        (0, turn),
        (-1, "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\nLyon"),
    ]


def test_what_separates_merged_entries_goes_with_the_memory_beside_it(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    read = conversation(
        Entry(SYSTEM, "M1", memory_key="a"),
        Entry(SYSTEM, "M2", memory_key="b"),
        Entry(USER, "One"),
        Entry(SYSTEM, "M3", memory_key="c"),
        Entry(USER, "Two"),
        said("Yes"),
    )

    assert runs(build_prompt(read, tokenizers["gemma"])) == [
        (-1, "<s><start_of_turn>user\n"),
        (0, "M1\n\n"),
        (1, "M2\n\n"),
        (-1, "One"),
        (2, "\n\nM3"),
        (-1, "\n\nTwo<end_of_turn>\n<start_of_turn>model\nYes"),
    ]


def test_a_turn_merged_of_copies_of_one_memory_goes_whole(tokenizers: dict[str, FolderTokenizer]) -> None:
    copy = Entry(SYSTEM, "M", memory_key="a")
    read = conversation(Entry(USER, "One"), said("Yes"), copy, copy, said("Again"))

    assert runs(build_prompt(read, tokenizers["gemma"]))[1] == (
        0,
        "<start_of_turn>user\nM\n\nM<end_of_turn>\n",
    )


def test_a_memory_that_the_template_puts_into_its_preamble_leaves_the_preamble_whole(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    read = conversation(Entry(SYSTEM, "M", memory_key="a"), Entry(USER, "One"), said("Yes"))
    prompt = build_prompt(read, tokenizers["llama3"])

    (_, before), (owner, removed), (_, after) = runs(prompt)

    assert (owner, removed) == (0, "M")
    assert (
        before + after
        == build_prompt(without(read, read.memories[0]), tokenizers["llama3"]).text[: len(before + after)]
    )


def heads(read: Conversation, tokenizer: FolderTokenizer) -> str:
    prompt = build_prompt(read, tokenizer)
    return text_of(prompt, prompt.head)


PROMPTED = conversation(
    Entry(SYSTEM, "Memory", memory_key="a"),
    Entry(SYSTEM, "You help.\n<memory key=b>No nuts.</memory>"),
    Entry(USER, "Hi"),
    said("Hello"),
    Entry(SYSTEM, "Later"),
    said("Bye"),
)


@pytest.mark.parametrize(
    ("template", "head"),
    [
        ("chatml", "<|im_start|>system\nYou help.\n<memory key=b>No nuts.</memory><|im_end|>\n"),
        (
            "gemma",
            "<s><start_of_turn>user\nYou help.\n<memory key=b>No nuts.</memory>\n\n<end_of_turn>\n",
        ),
        ("mistral", "<s>[INST] You help.\n<memory key=b>No nuts.</memory>\n\n [/INST]"),
    ],
)
def test_every_window_keeps_the_system_prompt_in_its_markup_and_no_memory_beside_it(
    tokenizers: dict[str, FolderTokenizer], template: str, head: str
) -> None:
    assert heads(PROMPTED, tokenizers[template]) == head


def test_every_window_keeps_a_preamble_closed_that_a_memory_stood_in(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    head = heads(PROMPTED, tokenizers["llama3"])

    assert re.sub("Date: .*", "Date: today", head) == (
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: today\n\n<|eot_id|>"
        "<|start_header_id|>system<|end_header_id|>\n\nYou help.\n<memory key=b>No nuts.</memory><|eot_id|>"
    )


def test_every_window_keeps_what_the_template_puts_in_front(tokenizers: dict[str, FolderTokenizer]) -> None:
    read = conversation(Entry(USER, "Hi"), said("Hello"))

    assert (
        heads(read, tokenizers["chatml"]) == "<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n"
    )
    assert heads(read, tokenizers["gemma"]) == "<s>"


def test_an_empty_turn_is_its_own_and_not_part_of_the_memory_after_it(
    tokenizers: dict[str, FolderTokenizer],
) -> None:
    read = conversation(
        Entry(USER, ""), Entry(SYSTEM, "M", memory_key="a"), Entry(SYSTEM, "", memory_key="a"), said("Yes")
    )

    assert runs(build_prompt(read, tokenizers["chatml"]))[1] == (
        0,
        "<|im_start|>system\nM<|im_end|>\n<|im_start|>system\n<|im_end|>\n",
    )
