"""Sessions of pi, and of OpenClaw, which is built on it: JSONL, a tree of records, with compactions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.json_text import as_json
from memscope.conversation.readers.tree import Tree, read_branch
from memscope.conversation.thinking import thinking_spans

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "toolResult": Role.TOOL, "system": Role.SYSTEM}


class _Part(msgspec.Struct, rename="camel"):
    type: str = "text"
    text: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: Any = None


class _Message(msgspec.Struct, rename="camel"):
    role: str
    content: str | list[_Part] | None = None
    model: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None


class _Record(msgspec.Struct, rename="camel"):
    """The fields of a record that memscope reads."""

    type: str
    id: str | None = None
    parent_id: str | None = None
    timestamp: str | None = None
    message: _Message | None = None
    content: str | list[_Part] | None = None
    summary: str | None = None
    first_kept_entry_id: str | None = None
    cwd: str | None = None


class Pi(Format):
    """The live branch ends with the leaf that came last."""

    name: ClassVar[str] = "pi"

    def __init__(self) -> None:
        self._tree: Tree[_Record] = Tree()
        self._folder = ""
        self._author = ""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """The first line."""
        return record.get("type") == "session" and "id" in record and "version" in record

    def add(self, record: JsonObject) -> None:
        """One record; those without an id or of other types only link others together."""
        found = msgspec.convert(record, _Record)
        if found.type == "session":
            self._folder = found.cwd or self._folder
        if found.message is not None and found.message.model:
            self._author = found.message.model
        if found.id is not None:
            self._tree.add(found.id, found.parent_id, found, tuple(_calls(found.message)))

    def draft(self, branch: str | None = None) -> Draft:
        """The branch, with each compaction's summary and what it kept at the front of the next context."""
        forked = read_branch(self._tree, lambda path: list(_entries(path)), branch)
        return Draft(
            entries=forked.entries,
            agent="pi",
            author=self._author,
            folder=self._folder,
            missing="the system prompt and the tools",
            branches=forked.branches,
            branch=forked.branch,
        )


def _calls(message: _Message | None) -> Iterator[str]:
    """The ids of a message's tool calls, which results may name as their parents."""
    for part in _parts(message.content if message else None):
        if part.type == "toolCall" and part.id:
            yield part.id


def _entries(path: Sequence[_Record]) -> Iterator[Entry]:
    context = 0
    for at, record in enumerate(path):
        if record.type == "compaction":
            context += 1
            yield Entry(Role.USER, record.summary or "", timestamp=record.timestamp, context=context)
            first = next((n for n, kept in enumerate(path) if kept.id == record.first_kept_entry_id), at)
            for kept in path[first:at]:
                if (entry := _entry(kept)) is not None:
                    yield replace(entry, context=context, kept=True)
        elif (entry := _entry(record)) is not None:
            yield replace(entry, context=context)


def _entry(record: _Record) -> Entry | None:
    """What a record put before the model, if anything."""
    if record.type == "custom_message":
        return Entry(Role.USER, _text(record.content), timestamp=record.timestamp)
    message = record.message
    role = _ROLES.get(message.role) if message is not None else None
    if record.type != "message" or message is None or role is None:
        return None
    text = _text(message.content)
    calls = [part for part in _parts(message.content) if part.type == "toolCall" and part.name]
    return Entry(
        role,
        text,
        tool_calls=tuple(ToolCall(part.name or "", as_json(part.arguments or {}), part.id) for part in calls)
        if role is Role.ASSISTANT
        else (),
        thinking=thinking_spans(text) if role is Role.ASSISTANT else (),
        tool_call_id=message.tool_call_id,
        name=message.tool_name,
        timestamp=record.timestamp,
    )


def _parts(content: str | list[_Part] | None) -> list[_Part]:
    return content if isinstance(content, list) else []


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in _parts(content) if part.type == "text" and part.text)
