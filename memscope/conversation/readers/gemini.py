"""Gemini CLI's chats: JSONL with a header and a message a line, or one JSON object with both."""

from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.json_text import as_json
from memscope.conversation.thinking import thinking_spans

_AGENT = ("gemini", "model")


class _Part(msgspec.Struct):
    text: str | None = None


class _Call(msgspec.Struct):
    name: str
    args: Any = None
    id: str | None = None
    result: Any = None


class _Message(msgspec.Struct, rename="camel"):
    """The fields of a message that memscope reads; texts stand in `content`, in older files in `parts`."""

    type: str
    id: str | None = None
    content: str | list[_Part] | None = None
    parts: list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    model: str | None = None
    timestamp: str | None = None


class Gemini(Format):
    """A message that comes again under its id replaces the one before; `$rewindTo` takes back the message of
    that id and all after it."""

    name: ClassVar[str] = "gemini"

    def __init__(self) -> None:
        self._messages: dict[str, _Message] = {}

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """The header, which older files have around the messages."""
        return "sessionId" in record and "projectHash" in record

    def add(self, record: JsonObject) -> None:
        """A message, a header with messages or without, or a step back."""
        if "projectHash" in record:
            held = msgspec.convert(record.get("messages", []), list[JsonObject | None])
            messages = [self._message(each) for each in held if each is not None and "type" in each]
            for message in messages:
                self._keep(message)
        elif isinstance(record.get("$rewindTo"), str):
            self._rewind(record["$rewindTo"])
        elif "type" in record:
            self._keep(self._message(record))

    def draft(self, branch: str | None = None) -> Draft:
        """The messages that were not taken back, each tool's result after the message that called it."""
        messages = self._messages.values()
        author = next((message.model for message in reversed(messages) if message.model), "")
        return Draft(
            entries=[entry for message in messages for entry in _entries(message)],
            agent="Gemini CLI",
            author=author,
            missing="the system prompt and the tools",
        )

    @staticmethod
    def _message(record: JsonObject) -> _Message:
        return msgspec.convert(record, _Message)

    def _keep(self, message: _Message) -> None:
        self._messages[message.id or f"no id {len(self._messages)}"] = message

    def _rewind(self, to: str) -> None:
        if to in self._messages:
            kept = list(self._messages)
            for later in kept[kept.index(to) :]:
                del self._messages[later]


def _entries(message: _Message) -> list[Entry]:
    """What was said, and what the called tools gave; other kinds of messages the model never saw."""
    text = _text(message.content) or _text(message.parts)
    if message.type == "user":
        return [Entry(Role.USER, text, timestamp=message.timestamp)]
    if message.type not in _AGENT:
        return []
    calls = message.tool_calls or []
    said = Entry(
        Role.ASSISTANT,
        text,
        tool_calls=tuple(ToolCall(call.name, as_json(call.args or {}), call.id) for call in calls),
        thinking=thinking_spans(text),
        timestamp=message.timestamp,
    )
    return [said, *(_result(call) for call in calls if call.result is not None)]


def _result(call: _Call) -> Entry:
    return Entry(Role.TOOL, _output(call.result), tool_call_id=call.id, name=call.name)


def _output(result: Any) -> str:
    """The output that function responses hold, else the result as JSON."""
    outputs = []
    for part in result if isinstance(result, list) else [result]:
        try:
            outputs.append(str(part["functionResponse"]["response"]["output"]))
        except (KeyError, TypeError, IndexError):
            outputs.append(part if isinstance(part, str) else as_json(part))
    return "\n".join(outputs)


def _text(content: str | list[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text for part in content if part.text)
