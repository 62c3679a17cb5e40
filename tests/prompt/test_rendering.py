"""A prompt is what the chat template writes, and an ablation what it would write without the memory."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given

from memscope.conversation.model import Conversation, Entry, ToolCall
from memscope.errors import ModelError
from memscope.prompt import build_prompt
from memscope.scorers.tokenizer import FolderTokenizer
from tests.model_folder import CHATML, TEMPLATES, open_folder
from tests.prompt.conversations import (
    ASSISTANT,
    MESSAGES,
    SYSTEM,
    TOOL,
    USER,
    anything,
    call_text,
    called,
    conversation,
    cut_out,
    exchanges,
    said,
    text_of,
    without,
)


@pytest.mark.parametrize("template", TEMPLATES)
@given(read=anything)
def test_the_prompt_is_what_the_template_writes(
    tokenizers: dict[str, FolderTokenizer], template: str, read: Conversation
) -> None:
    tokenizer = tokenizers[template]

    assert build_prompt(read, tokenizer).text == tokenizer.render(MESSAGES[template](read))


@pytest.mark.parametrize("template", TEMPLATES)
@given(read=exchanges([SYSTEM, USER]))
def test_leaving_a_memory_out_leaves_the_tokens_of_the_conversation_without_it(
    tokenizers: dict[str, FolderTokenizer], template: str, read: Conversation
) -> None:
    prompt = build_prompt(read, tokenizers[template])

    for number, memory in enumerate(read.memories):
        ablated = build_prompt(without(read, memory), tokenizers[template])
        assert prompt.ids[prompt.memory != number].tolist() == ablated.ids.tolist()


@given(read=anything)
def test_leaving_a_memory_out_leaves_the_text_of_the_conversation_without_it(
    tokenizers: dict[str, FolderTokenizer], read: Conversation
) -> None:
    assume(read.entries[0].memory_key is None)  # a template's default system prompt depends on the first
    prompt = build_prompt(read, tokenizers["chatml"])

    for number, memory in enumerate(read.memories):
        ablated = build_prompt(without(read, memory), tokenizers["chatml"])
        kept = text_of(prompt, prompt.memory != number)
        assert ablated.text.startswith(kept)
        assert not read.responses or kept == ablated.text[: ablated.ends[-1]]


@given(read=exchanges([SYSTEM, USER, TOOL, ASSISTANT]))
def test_without_leading_white_space_the_tokens_are_those_of_one_text(
    tokenizers: dict[str, FolderTokenizer], read: Conversation
) -> None:
    assume(all(entry.text[0] > " " for entry in read.entries))
    tokenizer = tokenizers["chatml"]
    prompt = build_prompt(read, tokenizer)

    assert prompt.differing == 0
    for number, memory in enumerate(read.memories):
        ids = prompt.ids[prompt.memory != number].tolist()
        rendered = tokenizer.render(MESSAGES["chatml"](without(read, memory)))
        assert ids == tokenizer.encode(rendered).ids[: len(ids)]


@given(read=anything)
def test_a_response_is_its_text_and_calls_without_thinking_or_markup(
    tokenizers: dict[str, FolderTokenizer], read: Conversation
) -> None:
    prompt = build_prompt(read, tokenizers["chatml"])

    assert len(prompt.responses) == len(read.responses)
    for response, index in enumerate(read.responses):
        entry = read.entries[index]
        written = "\n".join(filter(None, [entry.text, *map(call_text, entry.tool_calls)]))
        spoken, tokens = cut_out(written, entry.thinking), "".join(prompt.token_texts(response))
        # its first token may begin with a space that still follows the thinking
        assert (
            tokens.removesuffix(spoken).isspace() if entry.thinking and tokens != spoken else tokens == spoken
        )
        assert (prompt.entry[prompt.responses[response]] == index).all()
        assert (prompt.memory[prompt.responses[response]] == -1).all()


@pytest.mark.parametrize("template", TEMPLATES)
@given(read=anything)
def test_the_prompt_ends_with_the_last_response(
    tokenizers: dict[str, FolderTokenizer], template: str, read: Conversation
) -> None:
    prompt = build_prompt(read, tokenizers[template])
    written = [positions for positions in prompt.responses if positions.size]

    assert len(prompt.ids) == (written[-1][-1] + 1 if written else 0)
    for owners in (prompt.memory, prompt.entry, prompt.turn, prompt.head, prompt.ends):
        assert len(owners) == len(prompt.ids)
    assert (np.diff(prompt.turn) >= 0).all()
    assert (np.diff(prompt.ends) >= 0).all()


def test_tokens_that_one_text_would_merge_are_counted(tokenizers: dict[str, FolderTokenizer]) -> None:
    tokenizer = tokenizers["chatml"]
    read = conversation(Entry(SYSTEM, "You help."), Entry(USER, "\n\na"), said("Hello"))

    # in pieces "\n", "\n", "\n"; as one text "\n\n", "\n"
    assert tokenizer.encode("\n\n\na").ends == [2, 3, 4]
    assert build_prompt(read, tokenizer).differing == 2


def test_tokens_of_contents_that_the_template_rewrites_are_counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shouting = open_folder(
        tmp_path_factory.mktemp("shouting"),
        CHATML.replace("message['content']", "message['content'] | tojson"),
    )
    read = conversation(Entry(SYSTEM, "You help."), Entry(USER, 'a "b" c'), said("Hello"))

    prompt = build_prompt(read, shouting)

    assert 'a "b" c' in prompt.text
    assert prompt.differing
    assert prompt.differing <= len(shouting.encode('a "b" c').ids)


@pytest.mark.parametrize(
    "text", ["segment0e", "0e", "{{ messages }}", "<|im_end|>", "\x1b[31m[/red]", "1e1e"]
)
def test_no_content_is_taken_for_a_sentinel_or_for_template_code(
    tokenizers: dict[str, FolderTokenizer], text: str
) -> None:
    read = conversation(
        Entry(SYSTEM, "You help."), Entry(USER, text), said(text), Entry(USER, text), said(text)
    )

    prompt = build_prompt(read, tokenizers["chatml"])

    assert prompt.text == tokenizers["chatml"].render(MESSAGES["chatml"](read))
    assert "".join(prompt.token_texts(1)) == text


def test_what_a_template_leaves_out_has_no_tokens(tmp_path_factory: pytest.TempPathFactory) -> None:
    quiet = open_folder(
        tmp_path_factory.mktemp("quiet"),
        "{% for m in messages if m.role in ['user', 'assistant'] %}{% if 'secret' not in m.content %}"
        "{{ m.role + ': ' + m.content + '\\n' }}{% endif %}{% endfor %}",
    )
    read = conversation(
        Entry(SYSTEM, "You help."), Entry(SYSTEM, "M", memory_key="a"), Entry(USER, "Hi"), said("Hello")
    )

    prompt = build_prompt(read, quiet)

    assert prompt.text == "user: Hi\nassistant: Hello\n"
    assert not (prompt.memory == 0).any()
    assert "".join(prompt.token_texts(0)) == "Hello"


def test_a_template_without_contents_makes_an_empty_prompt(tmp_path_factory: pytest.TempPathFactory) -> None:
    read = conversation(Entry(USER, "Hi"), said("Hello"))

    prompt = build_prompt(read, open_folder(tmp_path_factory.mktemp("mute"), "nothing"))

    assert len(prompt.ids) == 0
    assert [positions.size for positions in prompt.responses] == [0]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
            "it writes a message's content twice",
        ),
        ("{{ raise_exception('Not today') }}", "Not today"),
        ("{{ ''.__class__.__mro__ }}", "is unsafe"),
    ],
)
def test_a_template_that_takes_no_conversation_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, template: str, reason: str
) -> None:
    read = conversation(Entry(USER, "Hi"), said("Hello", called("f")))

    with pytest.raises(ModelError) as caught:
        build_prompt(read, open_folder(tmp_path_factory.mktemp("refusing"), template))

    assert str(caught.value).startswith("The model's chat template does not take this conversation: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_longer_conversation_is_not_rendered_more_often(
    tokenizers: dict[str, FolderTokenizer], template: str
) -> None:
    tokenizer = tokenizers[template]
    counts = []
    for length in (10, 100):
        read = conversation(
            Entry(SYSTEM, "You help."),
            *(
                entry
                for number in range(length)
                for entry in (
                    Entry(SYSTEM, "M", memory_key=f"k{number}"),
                    Entry(USER, f"<memory key=a>x</memory>Question {number}"),
                    said("", ToolCall("f", f'{{"n": {number}}}', f"id{number}")),
                    Entry(TOOL, f"Answer {number}"),
                    said(f"Response {number}"),
                )
            ),
        )
        with patch.object(tokenizer, "render", wraps=tokenizer.render) as render:
            build_prompt(read, tokenizer)
        counts.append(render.call_count)

    assert counts[0] == counts[1] < 40
