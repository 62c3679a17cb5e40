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
_TITLES = ("customTitle", "summary", "aiTitle")
"""The fields that tell a session's title, the best one first."""
_HOOKS = ("hook_success", "hook_additional_context")


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
    is_compact_summary: bool = False
    is_visible_in_transcript_only: bool = False
    timestamp: str | None = None
    cwd: str | None = None
    message: _Message | None = None
    attachment: dict[str, Any] | None = None

    @property
    def spoken(self) -> bool:
        """Whether this is a message of the conversation: the model never saw errors and what only the user is
        shown, and did not say what the program put into its mouth."""
        message, shown_only = self.message, self.is_visible_in_transcript_only and not self.is_compact_summary
        if message is None or self.is_api_error_message or shown_only or message.model == _SYNTHETIC:
            return False
        return self.type in ("user", "assistant")

    @property
    def blocks(self) -> list[_Block]:
        """What the message holds."""
        content = self.message.content if self.message is not None else None
        return [_Block(text=content)] if isinstance(content, str) else content or []

    @property
    def text(self) -> str:
        """What was said, without thinking, calls, results and pictures."""
        return "\n".join(block.text for block in self.blocks if block.type == "text" and block.text)

    @property
    def says(self) -> bool:
        """Whether somebody says or calls something in it, rather than that a tool answers."""
        return bool(self.text) or any(block.type == "tool_use" for block in self.blocks)

    @property
    def called(self) -> tuple[str, ...]:
        """The ids of the calls in it."""
        return tuple(block.id for block in self.blocks if block.type == "tool_use" and block.id)

    @property
    def answered(self) -> tuple[str, ...]:
        """The ids of the calls whose results are in it."""
        return tuple(
            block.tool_use_id for block in self.blocks if block.type == "tool_result" and block.tool_use_id
        )


@dataclass(frozen=True, slots=True)
class _Node:
    """What a record comes to, worked out once: a growing file is asked for its conversation again and again.

    `entries` are what it put before the model, in the context 0; the agent's are part of the `message` of
    that id, and stand `in_message`. `called` and `answered` are the ids of its calls and results."""

    uuid: str
    spoken: bool
    boundary: bool
    summary: bool
    message: str | None
    in_message: bool
    called: tuple[str, ...]
    answered: tuple[str, ...]
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, record: _Record) -> "_Node":
        """What there is to know of a record."""
        spoken = record.spoken
        return cls(
            uuid=record.uuid,
            spoken=spoken,
            boundary=record.subtype == "compact_boundary",
            summary=record.is_compact_summary,
            message=record.message.id if spoken and record.message is not None else None,
            in_message=record.type == "assistant" and record.attachment is None,
            called=record.called if spoken else (),
            answered=record.answered if spoken else (),
            entries=tuple(_said(record)),
        )


class ClaudeCode(Format):
    """The live branch ends with the message that came last. A side chain, the talk of a subagent, is a branch
    that is never live, unless there is nothing else, as in a subagent's own file.

    A response comes in several lines. The results of calls made together hang on different ones of them, so
    that some are on no path to the live end: each result is put after the message that called for it."""

    name: ClassVar[str] = "claude-code"

    def __init__(self) -> None:
        self._main: Tree[_Node] = Tree()
        self._side: Tree[_Node] = Tree()
        self._saying: set[str] = set()
        """The ids of the records in which somebody says or calls something."""
        self._results: dict[str, _Node] = {}
        """By the id of the call."""
        self._spoken = False
        self._titles: dict[str, str] = {}
        self._author = ""
        self._folder = ""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A node of the tree."""
        return "uuid" in record and "parentUuid" in record and "sessionId" in record

    def add(self, record: JsonObject) -> None:
        """One line; what is no node of the tree only tells the title."""
        if not isinstance(record.get("uuid"), str):
            told = {field: record.get(field) for field in _TITLES}
            self._titles |= {field: title for field, title in told.items() if isinstance(title, str)}
            return
        found = msgspec.convert(record, _Record)
        node = _Node.of(found)
        parent = found.parent_uuid or found.logical_parent_uuid
        tree = self._side if found.is_sidechain else self._main
        tree.add(found.uuid, parent, node)
        self._spoken = self._spoken or (found.spoken and not found.is_sidechain)
        self._folder = found.cwd or self._folder
        if found.spoken:
            self._results |= dict.fromkeys(node.answered, node)
            if found.says:
                self._saying.add(found.uuid)
            self._author = (found.message and found.message.model) or self._author

    def draft(self, branch: str | None = None) -> Draft:
        """The branch; the wrappers that the program puts around what it injects are not in the file."""
        tree, aside = (self._main, self._side) if self._spoken else (self._side, Tree[_Node]())
        apart = {tip: aside.path(leaf) for tip, leaf in aside.tips(self._saying).items()}
        forked = read_branch(tree, self._entries, branch, self._saying, apart)
        return Draft(
            entries=forked.entries,
            title=next((self._titles[field] for field in _TITLES if self._titles.get(field)), ""),
            agent="Claude Code",
            author=self._author,
            folder=self._folder,
            missing="the system prompt, the tools and the wrappers of what was injected",
            branches=forked.branches,
            branch=forked.branch,
        )

    def _entries(self, path: Sequence[_Node]) -> list[Entry]:
        """A path's entries, the lines of one message as one response."""
        entries: list[Entry] = []
        last: str | None = None
        context, begun = 0, False
        for node in self._with_results(path):
            if node.boundary or (node.summary and not begun):
                context += 1
            # a boundary and the summary after it begin one context
            begun = node.boundary or (begun and not node.spoken)
            message = node.message if node.in_message else None
            for entry in node.entries:
                if context:
                    entry = replace(entry, context=context)
                if message is not None and message == last and entries[-1].context == context:
                    entries[-1] = _merged(entries[-1], entry)
                else:
                    entries.append(entry)
                last = message
        return entries

    def _with_results(self, path: Sequence[_Node]) -> Iterator[_Node]:
        """A path with the results that are missing on it, each after the message that called for it."""
        held = {id_ for node in path for id_ in node.answered}
        waiting: dict[str, _Node] = {}
        last: str | None = None
        for node in path:
            if waiting and node.spoken and (node.message is None or node.message != last):
                yield from waiting.values()
                waiting.clear()
            yield node
            if node.spoken:
                last = node.message
                for id_ in node.called:
                    if id_ in self._results and id_ not in held:
                        found = self._results[id_]
                        waiting[found.uuid] = found
        yield from waiting.values()


def _merged(first: Entry, second: Entry) -> Entry:
    text = "\n".join(filter(None, (first.text, second.text)))
    calls = (*first.tool_calls, *second.tool_calls)
    return replace(first, text=text, tool_calls=calls, thinking=thinking_spans(text))


def _said(record: _Record) -> Iterator[Entry]:
    """What a record put before the model, or what the agent said in it."""
    if record.attachment is not None:
        yield from _attached(record.attachment, record.timestamp)
        return
    message, blocks, text = record.message, record.blocks, record.text
    if message is None or not record.spoken:
        return
    if record.type == "assistant":
        calls = tuple(
            ToolCall(block.name, as_json(block.input or {}), block.id)
            for block in blocks
            if block.type == "tool_use" and block.name
        )
        if text or calls:
            yield Entry(Role.ASSISTANT, text, calls, thinking_spans(text), timestamp=record.timestamp)
        return
    for block in blocks:
        if block.type == "tool_result":
            given = _result(block.content)
            yield Entry(Role.TOOL, given, tool_call_id=block.tool_use_id, timestamp=record.timestamp)
    if text:
        yield Entry(Role.USER, text, timestamp=record.timestamp)


def _attached(attachment: JsonObject, timestamp: str | None) -> Iterator[Entry]:
    """Memories as entries under their paths; what hooks added, what the user said while the agent was at work
    and files that he pointed at as the user's."""
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
        if (text := _given(kind, attachment)).strip():
            yield Entry(Role.USER, text, timestamp=timestamp, injected=kind in _HOOKS)
    for memory in held if isinstance(held, list) else []:
        path, content = (memory.get("path"), memory.get("content")) if isinstance(memory, dict) else ("", "")
        if isinstance(path, str) and path.strip() and isinstance(content, str) and content.strip():
            yield Entry(Role.USER, content, memory_key=path, timestamp=timestamp, injected=True)


def _given(kind: Any, attachment: JsonObject) -> str:
    """The text of an attachment that holds no memories, empty if the model was not given it as it stands."""
    content = attachment.get("content")
    if kind in _HOOKS:
        return "\n".join(map(str, content)) if isinstance(content, list) else _result(content)
    if kind == "queued_command":
        return _result(attachment.get("prompt"))
    file = content.get("file") if kind == "file" and isinstance(content, dict) else None
    return _result(file.get("content")) if isinstance(file, dict) else ""


def _result(content: Any) -> str:
    """The text of a result: text, or blocks of which some are text."""
    if isinstance(content, list):
        texts = (block.get("text") for block in content if isinstance(block, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
