"""Random conversations, and what a chat template is given of them, worked out without memscope's prompt."""

import json
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from memscope.conversation.model import Conversation, Entry, Memory, Role, Source, Span, ToolCall
from memscope.conversation.readers import build_conversation
from memscope.conversation.thinking import thinking_spans
from memscope.prompt import Prompt

SYSTEM, USER, ASSISTANT, TOOL = Role


def conversation(*entries: Entry) -> Conversation:
    """A conversation with the memories found in its entries."""
    return build_conversation(list(entries), Source("log", "native", "log"))


def said(text: str, *calls: ToolCall) -> Entry:
    """What the agent said, its thinking marked."""
    return Entry(ASSISTANT, text, calls, thinking_spans(text))


def called(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, json.dumps(arguments), "call_1")


def without(read: Conversation, memory: Memory) -> Conversation:
    """The same conversation as if the memory had never been there."""
    entries = []
    for index, entry in enumerate(read.entries):
        places = [place for place in memory.places if place.entry == index]
        if any(place.span is None for place in places):
            continue
        spans = [place.span for place in places if place.span is not None]
        entries.append(
            Entry(entry.role, cut_out(entry.text, spans), entry.tool_calls, entry.thinking, entry.memory_key)
        )
    return conversation(*entries)


def cut_out(text: str, spans: Sequence[Span]) -> str:
    for span in sorted(spans, key=lambda span: -span.start):
        text = text[: span.start] + text[span.end :]
    return text


def call_text(call: ToolCall) -> str:
    """A tool call as text, for templates that know none."""
    return f'<tool_call>\n{{"name": "{call.name}", "arguments": {call.arguments}}}\n</tool_call>'


def plain_messages(read: Conversation) -> list[dict[str, Any]]:
    """A message an entry, tool calls as text."""
    return [
        {
            "role": entry.role.value,
            "content": "\n".join(filter(None, [entry.text, *map(call_text, entry.tool_calls)])),
        }
        for entry in read.entries
    ]


def tool_messages(read: Conversation) -> list[dict[str, Any]]:
    """A message an entry, tool calls for the template to write."""
    messages: list[dict[str, Any]] = []
    for entry in read.entries:
        messages.append({"role": entry.role.value, "content": entry.text})
        if entry.tool_calls:
            messages[-1]["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
                for call in entry.tool_calls
            ]
    return messages


def alternating_messages(read: Conversation) -> list[dict[str, Any]]:
    """For templates that know users and assistants in turn: all else is said by the user, who is first."""
    speakers = [
        ("assistant" if message["role"] == "assistant" else "user", message["content"])
        for message in plain_messages(read)
    ]
    grouped = [(role, list(contents)) for role, contents in groupby(speakers, key=lambda speaker: speaker[0])]
    messages = [
        {"role": role, "content": "\n\n".join(text for _, text in contents if text)}
        for role, contents in grouped
    ]
    first = [] if messages[0]["role"] == "user" else [{"role": "user", "content": ""}]
    return first + messages


MESSAGES = {
    "chatml": plain_messages,
    "llama3": tool_messages,
    "qwen3": tool_messages,
    "gemma": alternating_messages,
    "mistral": alternating_messages,
}
"""What each template is given in the end."""

words = st.text("aLn .,1\n", max_size=12) | st.sampled_from(
    ["👩‍🚀 é", "  Lyon \n", "\n\nAna", "\u2028", "{{ x }}"]
)
clean = st.text("aLn.,1é", min_size=1, max_size=8)
keys = st.sampled_from("abc")
tags = st.builds('<memory key="{}">{}</memory>'.format, keys, words)
thoughts = st.builds("<think>\n{}\n</think>\n\n".format, st.text("aLn \n", max_size=8)) | st.just(
    "<think></think>"
)
calls = st.builds(
    ToolCall, st.sampled_from(["find", "f"]), st.sampled_from(["{}", '{"a": "é <b>"}']), st.just("1")
)
memories = st.builds(
    lambda role, text, key: Entry(role, text, memory_key=key), st.sampled_from(Role), words, keys
)
read_entries = st.builds(
    lambda role, parts: Entry(role, "".join(parts)),
    st.sampled_from([SYSTEM, USER, TOOL]),
    st.lists(words | tags, max_size=4),
)
spoken_entries = st.builds(
    lambda thought, text, calls: said(thought + text, *calls),
    st.just("") | thoughts,
    words,
    st.just(()) | calls.map(lambda call: (call,)),
)
anything = st.lists(memories | read_entries | spoken_entries, min_size=1, max_size=8).map(
    lambda entries: conversation(*entries)
)
"""Conversations in any order of roles, with white space anywhere, thinking, tool calls and memories."""


def exchanges(memory_roles: Sequence[Role]) -> st.SearchStrategy[Conversation]:
    """Conversations as agents have them: a system prompt, then users who get an answer, memories between."""
    injected = st.builds(
        lambda role, text, key: Entry(role, text, memory_key=key), st.sampled_from(memory_roles), clean, keys
    )
    asked = st.builds(lambda text: Entry(USER, text), clean)
    exchange = st.tuples(
        st.lists(injected, max_size=2), asked, st.lists(injected, max_size=2), clean.map(said)
    )
    return st.builds(
        lambda prompt, exchanges: conversation(
            Entry(SYSTEM, prompt),
            *(entry for before, user, after, agent in exchanges for entry in (*before, user, *after, agent)),
        ),
        clean,
        st.lists(exchange, min_size=1, max_size=4),
    )


def text_of(prompt: Prompt, tokens: NDArray[np.bool_]) -> str:
    """What the chosen tokens (a mask [T]) say."""
    starts = np.concatenate([[0], prompt.ends[:-1]])
    return "".join(prompt.text[starts[at] : prompt.ends[at]] for at in np.flatnonzero(tokens))


def runs(prompt: Prompt) -> list[tuple[int, str]]:
    """The prompt's text as runs of tokens that go with one memory, -1 for none."""
    edges = [0, *(np.flatnonzero(np.diff(prompt.memory)) + 1).tolist(), len(prompt.ids)]
    tokens = np.arange(len(prompt.ids))
    return [
        (int(prompt.memory[start]), text_of(prompt, (start <= tokens) & (tokens < end)))
        for start, end in pairwise(edges)
    ]
