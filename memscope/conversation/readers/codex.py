"""Codex rollouts: JSONL of `{timestamp, type, payload}`; what the model saw are the `response_item`s.

The oldest rollouts have a header and then the bare items, a line each.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.json_text import as_json
from memscope.conversation.thinking import thinking_spans

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "developer": Role.SYSTEM, "system": Role.SYSTEM}
_OLD_HEADER = ("id", "timestamp", "instructions")
"""The fields of the first line of the oldest rollouts, which has no type."""
_FOLDER = re.compile(r"<cwd>([^<]*+)</cwd>")
"""Where the message about the environment names the folder."""
_HEADER = ("session_meta", "turn_context", "response_item", "event_msg", "compacted")


class _Function(msgspec.Struct):
    name: str | None = None


class _Item(msgspec.Struct):
    """The fields of a response item that memscope reads."""

    type: str
    role: str | None = None
    content: Any = None
    name: str | None = None
    function: _Function | None = None
    call_id: str | None = None
    arguments: Any = None
    input: Any = None
    action: Any = None
    output: Any = None
    result: Any = None
    tools: Any = None

    @property
    def called(self) -> ToolCall | None:
        """The call that it is. A call that names no tool is of the one that its type names; what it was given
        is then all that is known of it."""
        if not self.type.endswith("_call"):
            return None
        name = self.name or (self.function.name if self.function else None)
        given = next((each for each in (self.arguments, self.input, self.action) if each is not None), None)
        if name is None and given is None:
            return None
        arguments = given if isinstance(given, str) else as_json(given)
        return ToolCall(name or self.type.removesuffix("_call"), arguments, self.call_id)

    @property
    def returned(self) -> str | None:
        """What a tool gave, if it is that: the text of an output, other results as JSON."""
        if not self.type.endswith(("_output", "_result")):
            return None
        if self.output is not None:
            return _content(self.output)
        given = self.tools if self.result is None else self.result
        return given if given is None or isinstance(given, str) else as_json(given)


class Codex(Format):
    """Adjacent items of the agent's are one response: what it says and the tools it calls next to that."""

    name: ClassVar[str] = "codex"

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._context = 0
        self._prompt = ""
        self._folder = ""
        self._author = ""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A known type around a payload, or an old header."""
        if "type" not in record:
            return all(field in record for field in _OLD_HEADER)
        return record["type"] in _HEADER and isinstance(record.get("payload"), dict)

    @classmethod
    def accepts(cls, record: JsonObject) -> bool:
        """Old rollouts hold bare items."""
        return cls.claims(record) or record.get("type") == "message"

    def add(self, record: JsonObject) -> None:
        """One line; of events only the one that takes turns back is looked at."""
        payload, kind = record.get("payload"), record.get("type")
        if payload is None and isinstance(kind, str):
            payload, kind = record, "response_item"
        if not isinstance(payload, dict):
            return
        timestamp = record.get("timestamp")
        if kind in ("session_meta", "turn_context"):
            self._folder = _text_of(payload.get("cwd")) or self._folder
            self._author = _text_of(payload.get("model")) or self._author
            self._prompt = self._prompt or _part(payload.get("base_instructions"))
        elif kind == "response_item":
            item = msgspec.convert(payload, _Item)
            found = _entries(item, timestamp if isinstance(timestamp, str) else None, self._context)
            self._folder = self._folder or next(map(_folder, found), "")
            self._entries += found
        elif kind == "compacted":
            self._compact(payload)
        elif payload.get("type") == "thread_rolled_back":
            self._roll_back(msgspec.convert(payload.get("num_turns", 1), int))

    def draft(self, branch: str | None = None) -> Draft:
        """The thread, without what was rolled back, after the system prompt if the file has it."""
        entries = list(_joined(self._entries))
        prompt = [Entry(Role.SYSTEM, self._prompt)] if self._prompt and entries else []
        return Draft(
            entries=[*prompt, *entries],
            agent="Codex",
            author=self._author,
            folder=self._folder,
            missing="the tools" if prompt else "the system prompt and the tools",
        )

    def _compact(self, payload: JsonObject) -> None:
        """Another context: the history that replaces the one before, or a message that sums it up."""
        history = msgspec.convert(payload.get("replacement_history") or [], list[_Item])
        kept = [entry for item in history for entry in _entries(item, None, self._context + 1)]
        summary = _text_of(payload.get("message"))
        if summary and not kept:
            kept = [Entry(Role.USER, summary, context=self._context + 1)]
        self._context += 1
        self._entries += [replace(entry, kept=True) for entry in kept]

    def _roll_back(self, turns: int) -> None:
        """Take back so many of the last turns of the user's in this context."""
        begun = [
            at
            for at, entry in enumerate(self._entries)
            if entry.role is Role.USER and entry.context == self._context and not entry.kept
        ]
        if turns > 0 and begun:
            del self._entries[begun[-min(turns, len(begun))] :]


def _entries(item: _Item, timestamp: str | None, context: int) -> list[Entry]:
    """What an item put before the model. Reasoning is not in the file, a snapshot was for the program alone,
    and other kinds are not known."""
    if item.type == "message":
        role = _ROLES.get(item.role or "")
        text = _content(item.content)
        if role is None:
            return []
        thinking = thinking_spans(text) if role is Role.ASSISTANT else ()
        return [Entry(role, text, thinking=thinking, timestamp=timestamp, context=context)]
    if item.type == "agent_message" and (text := _content(item.content)):
        # what another agent said to this one
        return [Entry(Role.USER, text, timestamp=timestamp, context=context)]
    if (call := item.called) is not None:
        return [Entry(Role.ASSISTANT, "", tool_calls=(call,), timestamp=timestamp, context=context)]
    if (given := item.returned) is not None:
        return [Entry(Role.TOOL, given, tool_call_id=item.call_id, timestamp=timestamp, context=context)]
    return []


def _folder(entry: Entry) -> str:
    """The folder that a message about the environment names."""
    found = _FOLDER.search(entry.text) if entry.text.lstrip().startswith("<environment_context>") else None
    return found[1].strip() if found else ""


def _joined(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Entries with the agent's adjacent ones as one, as long as nothing is said after a call."""
    waiting: Entry | None = None
    for entry in entries:
        if waiting is not None and _goes_on(waiting, entry):
            waiting = replace(waiting, tool_calls=(*waiting.tool_calls, *entry.tool_calls))
            continue
        if waiting is not None:
            yield waiting
        waiting = entry
    if waiting is not None:
        yield waiting


def _goes_on(entry: Entry, following: Entry) -> bool:
    alike = entry.role is following.role is Role.ASSISTANT
    return alike and not following.text and (entry.context, entry.kept) == (following.context, following.kept)


def _content(content: Any) -> str:
    """The text of a content: text itself, a part, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "\n".join(filter(None, (_part(part) for part in parts)))


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    return _text_of(part.get("text") or part.get("content")) if isinstance(part, dict) else ""


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""
