"""Claude Code's sessions: JSONL, a tree of records with side chains, attachments and compactions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.json_text import as_json
from memscope.conversation.readers.tree import Tree, read_branch
from memscope.conversation.thinking import thinking_spans

_SYNTHETIC = "<synthetic>"
"""The model that the program names where it answered by itself."""


class _Block(msgspec.Struct):
    type: str = "text"
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None


class _Message(msgspec.Struct):
    role: str = ""
    id: str | None = None
    model: str | None = None
    content: str | list[_Block] | None = None


class _Record(msgspec.Struct, rename="camel"):
    """The fields of a record that memscope reads."""

    uuid: str
    type: str = ""
    subtype: str | None = None
    parent_uuid: str | None = None
    logical_parent_uuid: str | None = None
    is_sidechain: bool = False
    is_api_error_message: bool = False
    timestamp: str | None = None
    cwd: str | None = None
    message: _Message | None = None
    attachment: dict[str, Any] | None = None

    @property
    def spoken(self) -> bool:
        """Whether this is a message of the conversation."""
        return self.message is not None and self.type in ("user", "assistant")


@dataclass(frozen=True)
class _Said:
    """An entry, and the id of the message that it is part of."""

    entry: Entry
    message: str | None = None


class ClaudeCode(Format):
    """The live branch ends with the message that came last; side chains are read where there is nothing else,
    as in a subagent's own file."""

    name: ClassVar[str] = "claude-code"

    def __init__(self) -> None:
        self._main: Tree[_Record] = Tree()
        self._side: Tree[_Record] = Tree()
        self._spoken = False
        self._title = ""
        self._author = ""
        self._folder = ""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A node of the tree."""
        return "uuid" in record and "parentUuid" in record and "sessionId" in record

    def add(self, record: JsonObject) -> None:
        """One line; what is no node of the tree only tells the title."""
        if not isinstance(record.get("uuid"), str):
            title = record.get("summary") or record.get("customTitle")
            self._title = title if isinstance(title, str) else self._title
            return
        found = msgspec.convert(record, _Record)
        parent = found.parent_uuid or found.logical_parent_uuid
        tree = self._side if found.is_sidechain else self._main
        tree.add(found.uuid, parent, found)
        self._spoken = self._spoken or (found.spoken and not found.is_sidechain)
        self._folder = found.cwd or self._folder
        if found.message is not None and found.message.model not in (None, _SYNTHETIC):
            self._author = found.message.model or ""

    def draft(self, branch: str | None = None) -> Draft:
        """The branch; the wrappers that the program puts around what it injects are not in the file."""
        tree = self._main if self._spoken else self._side
        forked = read_branch(tree, _entries, branch)
        return Draft(
            entries=forked.entries,
            title=self._title,
            agent="Claude Code",
            author=self._author,
            folder=self._folder,
            missing="the system prompt, the tools and the wrappers of what was injected",
            branches=forked.branches,
            branch=forked.branch,
        )


def _entries(path: Sequence[_Record]) -> list[Entry]:
    """A path's entries, the lines of one message as one response."""
    entries: list[Entry] = []
    last: str | None = None
    context = 0
    for record in path:
        if record.subtype == "compact_boundary":
            context += 1
        for said in _said(record):
            entry = replace(said.entry, context=context)
            if said.message is not None and said.message == last and entries[-1].context == context:
                entries[-1] = _merged(entries[-1], entry)
            else:
                entries.append(entry)
            last = said.message
    return entries


def _merged(first: Entry, second: Entry) -> Entry:
    text = "\n".join(filter(None, (first.text, second.text)))
    calls = (*first.tool_calls, *second.tool_calls)
    return replace(first, text=text, tool_calls=calls, thinking=thinking_spans(text))


def _said(record: _Record) -> Iterator[_Said]:
    """What a record put before the model, or what the agent said in it."""
    if record.attachment is not None:
        yield from (_Said(entry) for entry in _attached(record.attachment, record.timestamp))
        return
    message = record.message
    if message is None or not record.spoken or record.is_api_error_message:
        return
    blocks = [_Block(text=message.content)] if isinstance(message.content, str) else message.content or []
    text = "\n".join(block.text for block in blocks if block.type == "text" and block.text)
    if record.type == "assistant":
        calls = tuple(
            ToolCall(block.name, as_json(block.input or {}), block.id)
            for block in blocks
            if block.type == "tool_use" and block.name
        )
        if text or calls:
            entry = Entry(Role.ASSISTANT, text, calls, thinking_spans(text), timestamp=record.timestamp)
            yield _Said(entry, message.id)
        return
    for block in blocks:
        if block.type == "tool_result":
            given = _result(block.content)
            yield _Said(Entry(Role.TOOL, given, tool_call_id=block.tool_use_id, timestamp=record.timestamp))
    if text:
        yield _Said(Entry(Role.USER, text, timestamp=record.timestamp))


def _attached(attachment: JsonObject, timestamp: str | None) -> Iterator[Entry]:
    """Memories as entries under their paths, and what hooks added as the user's."""
    kind = attachment.get("type")
    if kind == "relevant_memories":
        held = attachment.get("memories")
    elif kind == "instructions":
        held = attachment.get("files")
    elif kind == "nested_memory":
        inner = attachment.get("content")
        content = inner.get("content") if isinstance(inner, dict) else inner
        held = [{"path": attachment.get("path"), "content": content}]
    else:
        held = None
        if kind in ("hook_success", "hook_additional_context"):
            added = attachment.get("content")
            text = "\n".join(map(str, added)) if isinstance(added, list) else added
            if isinstance(text, str) and text.strip():
                yield Entry(Role.USER, text, timestamp=timestamp, injected=True)
    for memory in held if isinstance(held, list) else []:
        path, content = (memory.get("path"), memory.get("content")) if isinstance(memory, dict) else ("", "")
        if isinstance(path, str) and path.strip() and isinstance(content, str) and content.strip():
            yield Entry(Role.USER, content, memory_key=path, timestamp=timestamp, injected=True)


def _result(content: Any) -> str:
    """A tool's result: text, or blocks of which some are text."""
    if isinstance(content, list):
        texts = (block.get("text") for block in content if isinstance(block, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
