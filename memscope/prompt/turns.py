"""Entries as the turns that a chat template takes, each turn a row of segments with one owner each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from memscope.conversation.model import Conversation, Entry, Role, Span, ToolCall

NOBODY = -1
"""The owner of text that no ablation removes."""
SEPARATOR = "\n\n"
"""Stands between two entries that share a turn."""


@dataclass(frozen=True)
class Segment:
    """A stretch of an entry's text with one owner. `before` and `after` are shown to the template around
    it: the tags of a thinking part, which many templates look for."""

    text: str
    entry: int
    memory: int = NOBODY
    scored: bool = False
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Turn:
    """What becomes one chat message. `entry` is its first entry, `caller` the one whose tool calls it makes,
    `memory` the one it wholly consists of, `context` the one all its entries stand in."""

    role: Role
    entry: int
    segments: tuple[Segment, ...]
    memory: int = NOBODY
    caller: int = NOBODY
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    context: int = 0


def turns_of(conversation: Conversation, takes_tool_calls: bool) -> list[Turn]:
    """A turn for each entry; tool calls become text where the template would not write them."""
    inside: dict[int, list[tuple[Span, int]]] = {}
    whole: dict[int, int] = {}
    for number, memory in enumerate(conversation.memories):
        for place in memory.places:
            if place.span is None:
                whole[place.entry] = number
            else:
                inside.setdefault(place.entry, []).append((place.span, number))
    turns = []
    for index, entry in enumerate(conversation.entries):
        text = entry.text
        if not takes_tool_calls:
            text = "\n".join(filter(None, [text, *map(_call_text, entry.tool_calls)]))
        owner = whole.get(index, NOBODY)
        if owner == NOBODY:
            segments = tuple(_segments(index, entry, text, inside.get(index, [])))
        else:
            segments = (Segment(text, index, owner),) if text else ()
        calls = entry.tool_calls if takes_tool_calls else ()
        turns.append(
            Turn(
                entry.role,
                index,
                segments,
                owner,
                index,
                calls,
                entry.tool_call_id,
                entry.name,
                entry.context,
            )
        )
    return turns


def stricter(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """The same turns for templates that take less and less: roles that must alternate, system prompts only
    at the front and no tools, no system prompt at all, the user first."""
    yield _merged(turns)
    yield _merged(_as_user(turns, keep_first_system=True))
    spoken = _merged(_as_user(turns, keep_first_system=False))
    yield spoken
    yield [Turn(Role.USER, NOBODY, (), context=turns[0].context if turns else 0), *spoken]


def _segments(index: int, entry: Entry, text: str, memories: list[tuple[Span, int]]) -> Iterator[Segment]:
    parts: list[tuple[Span, int]] = [*memories, *((span, NOBODY) for span in entry.thinking)]
    position = 0
    for span, memory in sorted(parts, key=lambda part: part[0].start):
        if span.start > position:
            yield Segment(text[position : span.start], index, scored=entry.is_response)
        stretch = text[span.start : span.end]
        yield _thinking(stretch, index) if memory == NOBODY else Segment(stretch, index, memory)
        position = span.end
    if position < len(text):
        yield Segment(text[position:], index, scored=entry.is_response)


def _thinking(stretch: str, index: int) -> Segment:
    close = stretch.rfind("</think>")
    body = stretch if close < 0 else stretch[:close]
    start = len("<think>") if body.startswith("<think>") else 0
    inner = body[start:].strip("\n")
    at = body.index(inner, start)
    return Segment(inner, index, before=stretch[:at], after=stretch[at + len(inner) :])


def _call_text(call: ToolCall) -> str:
    name = msgspec.json.encode(call.name).decode()
    return f'<tool_call>\n{{"name": {name}, "arguments": {call.arguments}}}\n</tool_call>'


def _as_user(turns: Sequence[Turn], keep_first_system: bool) -> list[Turn]:
    """System turns, and tool turns which such templates do not know either, spoken by the user."""
    kept = 1 if keep_first_system and turns and turns[0].role is Role.SYSTEM else 0
    return [
        replace(turn, role=Role.USER) if at >= kept and turn.role in (Role.SYSTEM, Role.TOOL) else turn
        for at, turn in enumerate(turns)
    ]


def _merged(turns: Iterable[Turn]) -> list[Turn]:
    """Adjacent turns of one role as one, but for two contexts: an empty turn keeps those apart."""
    merged: list[Turn] = []
    previous: Turn | None = None
    for turn in turns:
        last = merged[-1] if merged else None
        if previous is None or last is None or not _may_merge(last, turn):
            if last is not None and last.context != turn.context:
                merged += _between(last, turn)
            merged.append(turn)
        else:
            merged[-1] = replace(
                last,
                segments=(*last.segments, *_separator(last, previous, turn), *turn.segments),
                memory=last.memory if last.memory == turn.memory else NOBODY,
                caller=turn.caller,
                tool_calls=turn.tool_calls,
            )
        previous = turn
    return merged


def _separator(last: Turn, previous: Turn, turn: Turn) -> tuple[Segment, ...]:
    """What separates `turn` from the `previous` one, both in the turn `last`. It goes with the memory after
    it, or where only memories stand before it with the one before, so that one always stands between what
    an ablation leaves."""
    if not last.segments or not turn.segments:
        return ()
    anchored = any(segment.memory == NOBODY for segment in last.segments)
    return (Segment(SEPARATOR, previous.entry, _owner(turn if anchored else previous)),)


def _owner(turn: Turn) -> int:
    """The memory that all of a turn's contents go with."""
    owners = {segment.memory for segment in turn.segments}
    return owners.pop() if len(owners) == 1 else NOBODY


def _may_merge(last: Turn, turn: Turn) -> bool:
    alike = last.role is turn.role and turn.role is not Role.TOOL and last.context == turn.context
    return alike and not last.tool_calls


def _between(last: Turn, turn: Turn) -> list[Turn]:
    """What lets roles alternate across two contexts: an empty answer, or a user who says nothing."""
    if last.role is Role.USER is turn.role:
        return [Turn(Role.ASSISTANT, NOBODY, (), context=last.context)]
    if last.role is Role.ASSISTANT is turn.role:
        return [Turn(Role.USER, NOBODY, (), context=turn.context)]
    return []
