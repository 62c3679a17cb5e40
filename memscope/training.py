"""Training examples: what was said before a response, without the memories, and the response itself."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from memscope.conversation.model import Conversation, Entry, Role, Span, ToolCall

Message = dict[str, Any]
"""A message in the form that OpenAI's chat fine-tuning takes."""


def to_examples(conversation: Conversation, entries: Iterable[int]) -> bytes:
    """A line `{"messages": [...]}` for each of these responses, given by their entries' indexes."""
    lines = (msgspec.json.encode({"messages": example(conversation, entry)}) for entry in entries)
    return b"".join(line + b"\n" for line in lines)


def example(conversation: Conversation, response: int) -> list[Message]:
    """The entries of its context up to a response (an entry's index), without memories and without `<think>`
    text.

    What says nothing any more is left out. A tool's message that answers no call is spoken by the user, and a
    call that no message answers is left out unless the response makes it: the format takes neither.
    """
    memories = _spans(conversation)
    names = _Ids(conversation.entries[: response + 1])
    messages: list[Message] = []
    waiting: list[tuple[str, ToolCall]] = []
    answered: set[str] = set()
    context, prompt = conversation.entries[response].context, conversation.system_prompt
    for index, entry in enumerate(conversation.entries[: response + 1]):
        if entry.context != context and index not in prompt:
            continue
        spans = memories.get(index, [])
        text = _without(entry.text, spans or entry.thinking)
        if entry.memory_key is not None or (spans and not text):
            continue
        if entry.role is Role.ASSISTANT:
            waiting = [(names.id_of(call), call) for call in entry.tool_calls]
            messages.append(_said(text, waiting))
        elif entry.role is Role.TOOL and (call := _answers(entry, waiting)):
            waiting.remove(call)
            answered.add(call[0])
            messages.append({"role": "tool", "tool_call_id": call[0], "content": text})
        elif text.strip():
            role = Role.USER if entry.role is Role.TOOL else entry.role
            messages.append({"role": role.value, "content": text})
    return [*filter(None, (_only(message, answered) for message in messages[:-1])), messages[-1]]


class _Ids:
    """Gives every call an id of its own: the one it has, or a new one where it has none."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._used: set[str] = set()
        taken = {call.id for entry in entries for call in entry.tool_calls}
        self._new = (name for n in itertools.count(1) if (name := f"call_{n}") not in taken)

    def id_of(self, call: ToolCall) -> str:
        name = call.id if call.id and call.id not in self._used else next(self._new)
        self._used.add(name)
        return name


def _spans(conversation: Conversation) -> dict[int, list[Span]]:
    """The spans of memories inside entries, in order."""
    spans: dict[int, list[Span]] = {}
    for memory in conversation.memories:
        for place in memory.places:
            if place.span is not None:
                spans.setdefault(place.entry, []).append(place.span)
    return {entry: sorted(found, key=lambda span: span.start) for entry, found in spans.items()}


def _without(text: str, spans: Sequence[Span]) -> str:
    """A text without some spans, and with as much white space where they stood as separated them: nothing
    at its ends, a paragraph, a line or a space between."""
    if not spans:
        return text
    ends = [0, *(span.end for span in spans)]
    starts = [*(span.start for span in spans), len(text)]
    parts = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    whole = parts[0]
    for part in parts[1:]:
        left, right = whole.rstrip(), part.lstrip()
        gaps = whole[len(left) :], part[: len(part) - len(right)]
        whole = left + _joint(gaps) + right if left and right else left or right
    return whole.strip()


def _joint(gaps: tuple[str, str]) -> str:
    lines = max(gap.count("\n") for gap in gaps)
    return "\n" * min(lines, 2) or (" " if any(gaps) else "")


def _said(text: str, calls: Sequence[tuple[str, ToolCall]]) -> Message:
    message: Message = {"role": Role.ASSISTANT.value, "content": text or None}
    if calls:
        message["tool_calls"] = [
            {"id": name, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for name, call in calls
        ]
    return message


def _answers(entry: Entry, waiting: Sequence[tuple[str, ToolCall]]) -> tuple[str, ToolCall] | None:
    """Which of the calls that wait a tool's message answers: by id, else by name, else the first."""
    if entry.tool_call_id is not None:
        return next((one for one in waiting if one[1].id == entry.tool_call_id), None)
    named = [one for one in waiting if one[1].name == entry.name]
    return next(iter(named or waiting), None)


def _only(message: Message, answered: set[str]) -> Message | None:
    """A message without the calls that nothing answers; None if it is then empty."""
    if message["role"] != Role.ASSISTANT:
        return message
    calls = [call for call in message.get("tool_calls", []) if call["id"] in answered]
    if not calls and not message["content"]:
        return None
    return {
        "role": message["role"],
        "content": message["content"],
        **({"tool_calls": calls} if calls else {}),
    }
