"""One chat message, as agents and APIs write it, into an entry."""

from typing import Any

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.json_text import as_arguments, sentence
from memscope.conversation.thinking import thinking_spans
from memscope.errors import InputError

ROLES = {role.value: role for role in Role} | {"developer": Role.SYSTEM, "function": Role.TOOL}
"""Who speaks, by the names that chat messages have for it."""
_TEXT_PARTS = ("text", "input_text", "output_text")


class _Part(msgspec.Struct):
    """A part of a content list; parts that are not text (pictures, reasoning, refusals) are ignored."""

    type: str = _TEXT_PARTS[0]
    text: str | None = None


class Function(msgspec.Struct):
    """What is called, and with what."""

    name: str
    arguments: Any = None


class FunctionCall(msgspec.Struct):
    """A call of a tool as the OpenAI API writes it, and others after it."""

    function: Function
    id: str | None = None


class _Message(msgspec.Struct):
    """The fields of a message that memscope reads; unknown ones are ignored."""

    role: str
    content: str | list[_Part | str] | None = None
    tool_calls: list[FunctionCall] | None = None
    function_call: Function | None = None
    memory_key: str | None = None
    tool_call_id: str | None = None
    name: str | None = None
    timestamp: str | float | None = None


def read_message(message: Any) -> Entry:
    """Raises InputError naming the field if the message can't be read."""
    try:
        parsed = msgspec.convert(message, _Message)
        tool_calls = _tool_calls(parsed)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"{sentence(error)}.") from error
    role = ROLES.get(parsed.role)
    if role is None:
        raise InputError(f"field `role` is {parsed.role[:40]!r}; it must be system, user, assistant or tool.")
    if parsed.memory_key is not None and not parsed.memory_key.strip():
        raise InputError("field `memory_key` is empty; give the memory a name or drop the field.")
    text = _text(parsed.content)
    return Entry(
        role=role,
        text=text,
        tool_calls=tool_calls,
        thinking=thinking_spans(text) if role is Role.ASSISTANT and parsed.memory_key is None else (),
        memory_key=parsed.memory_key,
        tool_call_id=parsed.tool_call_id,
        name=parsed.name,
        timestamp=None if parsed.timestamp is None else str(parsed.timestamp),
    )


def _text(content: str | list[_Part | str] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = (_Part(text=part) if isinstance(part, str) else part for part in content)
    return "".join(part.text for part in parts if part.text and part.type in _TEXT_PARTS)


def _tool_calls(message: _Message) -> tuple[ToolCall, ...]:
    calls = [(call.function, call.id) for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append((message.function_call, None))
    return tuple(
        ToolCall(function.name, as_arguments(function.arguments), number) for function, number in calls
    )
