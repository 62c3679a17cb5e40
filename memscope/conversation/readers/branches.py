"""Branches and leaves: JSONL of `{"Branch": {"role", "children"}}` and `{"Leaf": {"body"}}`."""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.chat import ROLES
from memscope.conversation.readers.json_text import as_arguments, as_json
from memscope.conversation.thinking import as_thinking, thinking_spans
from memscope.errors import InputError


class _Branch(msgspec.Struct):
    role: str | None = None
    children: list[JsonObject] = []


class _Leaf(msgspec.Struct):
    body: JsonObject = {}
    timestamp: str | None = None


class _Memory(msgspec.Struct):
    key: str
    text: str


class _Call(msgspec.Struct):
    name: str
    arguments: Any = None
    args: Any = None
    input: Any = None
    id: str | None = None


class Branches(Format):
    """A branch is a message, or several where a tool answered or a memory came in between. What stands in no
    branch that names a role is the user's, except for thinking and calls."""

    name: ClassVar[str] = "branches"

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A branch with children, or a leaf with a body."""
        branch, leaf = record.get("Branch"), record.get("Leaf")
        if isinstance(branch, dict):
            return isinstance(branch.get("children"), list)
        return isinstance(leaf, dict) and isinstance(leaf.get("body"), dict)

    def add(self, record: JsonObject) -> None:
        """A branch with all in it, or a leaf by itself."""
        message = _Message(None)
        self._entries += [*_walk(record, message), *message.ended()]

    def draft(self, branch: str | None = None) -> Draft:
        """All that was read: a file is one line of conversation."""
        return Draft(entries=list(self._entries))


class _Message:
    """What a branch said since the last entry: its thinking, its text and its calls."""

    def __init__(self, role: Role | None) -> None:
        self.role = role
        self._clear()

    def _clear(self) -> None:
        self.thought = ""
        self.text = ""
        self.calls: list[ToolCall] = []
        self.timestamp: str | None = None

    @property
    def begun(self) -> bool:
        """Whether something was said; what was only thought waits for it."""
        return bool(self.text or self.calls)

    def ended(self) -> list[Entry]:
        """The entry that it is, if there is anything in it; what comes next is another one."""
        spoken = Role.ASSISTANT if self.thought or self.calls else Role.USER
        role, text = self.role or spoken, self.text
        if role is Role.ASSISTANT:
            text = self.thought + text
        entry = Entry(
            role,
            text,
            tuple(self.calls) if role is Role.ASSISTANT else (),
            thinking_spans(text) if role is Role.ASSISTANT else (),
            timestamp=self.timestamp,
        )
        self._clear()
        return [entry] if entry.text or entry.tool_calls else []


def _walk(node: JsonObject, message: _Message) -> Iterator[Entry]:
    """The entries of a node; what of it belongs to a message that goes on is put there."""
    if isinstance(node.get("Branch"), dict):
        branch = msgspec.convert(node["Branch"], _Branch)
        inner = _Message(_role(branch.role, message.role))
        yield from message.ended()
        for child in branch.children:
            yield from _walk(child, inner)
        yield from inner.ended()
    elif isinstance(node.get("Leaf"), dict):
        leaf = msgspec.convert(node["Leaf"], _Leaf)
        for kind, body in leaf.body.items():
            yield from _leaf(kind, body, leaf.timestamp, message)


def _role(written: str | None, outer: Role | None) -> Role | None:
    if written is None:
        return outer
    role = ROLES.get(written.lower())
    if role is None:
        raise InputError(
            f"field `Branch.role` is {written[:40]!r}; it must be System, User, Assistant or Tool."
        )
    return role


def _leaf(kind: str, body: Any, timestamp: str | None, message: _Message) -> Iterator[Entry]:
    if kind == "Memory":
        memory = msgspec.convert(body, _Memory)
        if not memory.key.strip():
            raise InputError("field `Memory.key` is empty; give the memory a name.")
        if message.begun:
            yield from message.ended()
        role = message.role or Role.USER
        yield Entry(role, memory.text, memory_key=memory.key, timestamp=timestamp)
    elif kind == "ToolResult":
        yield from message.ended()
        held = body if isinstance(body, dict) else {}
        called, name = held.get("tool_call_id") or held.get("call_id") or held.get("id"), held.get("name")
        yield Entry(
            Role.TOOL,
            _text(body),
            tool_call_id=called if isinstance(called, str) else None,
            name=name if isinstance(name, str) else None,
            timestamp=timestamp,
        )
    elif kind in ("Content", "Thinking", "ToolCall"):
        message.timestamp = message.timestamp or timestamp
        if kind == "ToolCall":
            message.calls.append(_call(body))
            return
        if message.calls:
            yield from message.ended()
        if kind == "Content":
            message.text += _text(body)
        elif message.text:
            message.text += as_thinking(_text(body))
        else:
            message.thought += as_thinking(_text(body))


def _call(body: Any) -> ToolCall:
    call = msgspec.convert(body, _Call)
    given = next((each for each in (call.arguments, call.args, call.input) if each is not None), None)
    return ToolCall(call.name, as_arguments(given), call.id)


def _text(body: Any) -> str:
    """The text of a body: text itself, or an object that has some."""
    if isinstance(body, dict):
        body = next((body[name] for name in ("text", "content", "result", "output") if name in body), "")
    return body if isinstance(body, str) else as_json(body)
