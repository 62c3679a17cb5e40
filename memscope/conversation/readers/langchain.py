"""LangChain's messages: as `messages_to_dict` and `dumpd` write them, or flat; and LangGraph's states."""

from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.chat import ROLES, Function, FunctionCall
from memscope.conversation.readers.json_text import as_arguments, as_json
from memscope.conversation.thinking import as_thinking, thinking_spans

_ROLES = {
    "human": Role.USER,
    "ai": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "tool": Role.TOOL,
    "function": Role.TOOL,
    "chat": Role.USER,
}
_REMOVE = "remove"
_ALL = "__remove_all__"
_TELLING = ("human", "ai")
"""The types that a flat message is known by: other formats have `system` and `tool` too."""


class _Call(msgspec.Struct):
    name: str
    args: Any = None
    id: str | None = None


class _More(msgspec.Struct):
    """`additional_kwargs`: what a service answered, as it wrote it."""

    tool_calls: list[FunctionCall] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None


class _Message(msgspec.Struct):
    """The fields of a message that memscope reads; `role` is that of a `chat` message."""

    content: str | list[dict[str, Any] | str] | None = None
    tool_calls: list[_Call] | None = None
    invalid_tool_calls: list[_Call] | None = None
    additional_kwargs: _More | None = None
    response_metadata: dict[str, Any] | None = None
    name: str | None = None
    role: str | None = None
    tool_call_id: str | None = None
    id: str | None = None


class LangChain(Format):
    """A message that comes again under its id replaces the one before, as it does in LangGraph; a message of
    the type `remove` takes it back."""

    name: ClassVar[str] = "langchain"

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._calls: dict[str, str] = {}
        """The names of the tools that were called, by the ids of the calls."""
        self._author = ""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A message in one of the three notations."""
        kind, fields = _opened(record)
        if kind is None:
            return False
        return fields is not record or (kind in _TELLING and "content" in record and "role" not in record)

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        """A list with such a message in it, or a state that has one in its `messages`."""
        state = document.get("values", document) if isinstance(document, dict) else document
        messages = state.get("messages") if isinstance(state, dict) else state
        if not isinstance(messages, list):
            return None
        claimed = any(isinstance(message, dict) and cls.claims(message) for message in messages)
        return messages if claimed else None

    def add(self, record: JsonObject) -> None:
        """One message."""
        kind, fields = _opened(record)
        if kind is None:
            return
        message = msgspec.convert(fields, _Message)
        if kind == _REMOVE:
            if message.id == _ALL:
                self._entries.clear()
            self._entries.pop(message.id or "", None)
            return
        entry = _entry(kind, message, self._calls)
        self._calls |= {call.id: call.name for call in entry.tool_calls if call.id}
        self._entries[message.id or f"no id {len(self._entries)}"] = entry
        told = message.response_metadata or {}
        author = told.get("model_name") or told.get("model")
        self._author = author if isinstance(author, str) else self._author

    def draft(self, branch: str | None = None) -> Draft:
        """All messages that were not taken back."""
        return Draft(entries=list(self._entries.values()), author=self._author)


def _opened(record: JsonObject) -> tuple[str | None, JsonObject]:
    """The type of a message and its fields; no type if it is none."""
    kind, path = record.get("type"), record.get("id")
    data, kwargs = record.get("data"), record.get("kwargs")
    if kind == "constructor" and isinstance(path, list) and path and isinstance(kwargs, dict):
        kind, data = path[-1], kwargs
    fields = data if isinstance(data, dict) and "content" in data else record
    if not isinstance(kind, str):
        return None, record
    kind = kind.removesuffix("Chunk").removesuffix("Message").lower()
    return (kind if kind in _ROLES or kind == _REMOVE else None), fields


def _entry(kind: str, message: _Message, names: dict[str, str]) -> Entry:
    role = _ROLES[kind]
    if kind == "chat":
        role = ROLES.get(message.role or "", role)
    more = message.additional_kwargs or _More()
    text = _text(message.content, role)
    if more.reasoning_content and role is Role.ASSISTANT:
        text = as_thinking(more.reasoning_content) + text
    return Entry(
        role,
        text,
        tool_calls=tuple(_calls(message, more)) if role is Role.ASSISTANT else (),
        thinking=thinking_spans(text) if role is Role.ASSISTANT else (),
        tool_call_id=message.tool_call_id,
        name=message.name or names.get(message.tool_call_id or ""),
    )


def _calls(message: _Message, more: _More) -> list[ToolCall]:
    """The calls, those with broken arguments too; as the service wrote them if only that is there."""
    read = [*(message.tool_calls or ()), *(message.invalid_tool_calls or ())]
    if read:
        return [ToolCall(call.name, as_arguments(call.args), call.id) for call in read]
    made = list(more.tool_calls or ())
    if more.function_call is not None:
        made.append(FunctionCall(more.function_call))
    return [ToolCall(call.function.name, as_arguments(call.function.arguments), call.id) for call in made]


def _text(content: str | list[dict[str, Any] | str] | None, role: Role) -> str:
    """Text, or the texts of parts with the agent's thinking; calls stand in a field of their own, and a tool
    may answer with parts of any kind."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif role is Role.TOOL:
            texts.append(as_json(part))
        elif role is Role.ASSISTANT and isinstance(thought := _thought(part), str):
            texts.append(as_thinking(thought))
    return "".join(texts)


def _thought(part: JsonObject) -> Any:
    return part.get("thinking") or part.get("reasoning")
