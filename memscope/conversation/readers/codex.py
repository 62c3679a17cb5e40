"""Codex rollouts: JSONL of `{timestamp, type, payload}`; what the model saw are the `response_item`s."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.json_text import as_json
from memscope.conversation.thinking import thinking_spans

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "developer": Role.SYSTEM, "system": Role.SYSTEM}
_HEADER = ("session_meta", "turn_context", "response_item", "event_msg", "compacted")


class _Item(msgspec.Struct):
    """The fields of a response item that memscope reads."""

    type: str
    role: str | None = None
    content: Any = None
    name: str | None = None
    call_id: str | None = None
    arguments: Any = None
    input: Any = None
    output: Any = None


class Codex(Format):
    """Adjacent items of the agent's are one response: what it says and the tools it calls next to that."""

    name: ClassVar[str] = "codex"

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._context = 0
        self._folder = ""
        self._author = ""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A known type around a payload."""
        return record.get("type") in _HEADER and isinstance(record.get("payload"), dict)

    def add(self, record: JsonObject) -> None:
        """One line; of events only the one that takes turns back is looked at."""
        payload = record.get("payload")
        if not isinstance(payload, dict):
            return
        kind, timestamp = record.get("type"), record.get("timestamp")
        if kind in ("session_meta", "turn_context"):
            self._folder = _text_of(payload.get("cwd")) or self._folder
            self._author = _text_of(payload.get("model")) or self._author
        elif kind == "response_item":
            item = msgspec.convert(payload, _Item)
            self._entries += _entries(item, timestamp if isinstance(timestamp, str) else None, self._context)
        elif kind == "compacted":
            self._compact(payload)
        elif payload.get("type") == "thread_rolled_back":
            self._roll_back(msgspec.convert(payload.get("num_turns", 1), int))

    def draft(self, branch: str | None = None) -> Draft:
        """The thread, without what was rolled back."""
        return Draft(
            entries=list(_joined(self._entries)),
            agent="Codex",
            author=self._author,
            folder=self._folder,
            missing="the system prompt and the tools",
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
    """What an item put before the model; reasoning is not in the file, other kinds are not known."""
    if item.type == "message":
        role = _ROLES.get(item.role or "")
        text = _content(item.content)
        if role is None:
            return []
        thinking = thinking_spans(text) if role is Role.ASSISTANT else ()
        return [Entry(role, text, thinking=thinking, timestamp=timestamp, context=context)]
    if item.type.endswith("_call") and item.name:
        given = item.arguments if item.arguments is not None else item.input
        arguments = given if isinstance(given, str) else as_json(given)
        call = ToolCall(item.name, arguments, item.call_id)
        return [Entry(Role.ASSISTANT, "", tool_calls=(call,), timestamp=timestamp, context=context)]
    if item.type.endswith("_output") and item.output is not None:
        output = _content(item.output)
        return [Entry(Role.TOOL, output, tool_call_id=item.call_id, timestamp=timestamp, context=context)]
    return []


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
