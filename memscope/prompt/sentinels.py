"""The chat template rendered with a unique sentinel in place of each segment of content."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import msgspec

from memscope.conversation.model import Role, ToolCall
from memscope.prompt.turns import Turn
from memscope.scorers.base import ChatTokenizer, TemplateRefusedError

Message = Mapping[str, Any]
Extent = tuple[int, int]
"""A half-open range of characters of the rendering."""


class Rendering:
    """Turns as the template writes them, and where each one's contents, closing and tool calls stand.

    To render a prefix again for each turn would take quadratic time, so what the template writes around a
    turn is learned once for each order of turns, and used again wherever the text agrees with it.

    Raises TemplateRefusedError if the template does not take the turns.
    """

    def __init__(self, turns: Sequence[Turn], tokenizer: ChatTokenizer) -> None:
        self.turns = turns
        self._render = tokenizer.render
        self.segments = [(at, segment) for at, turn in enumerate(turns) for segment in turn.segments]
        # Nothing in the turns can hold a hash of them all.
        self._nonce = hashlib.sha256(repr(turns).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._messages = self._with_sentinels()
        self.text = self._render(self._messages)
        self.spots = self._find_spots(self.text)
        """For each segment that the template writes, the extent of its sentinel in `text`."""
        self.contents = self._content_extents()
        """For each turn with content, from its first sentinel's start to its last one's end."""
        self._kinds = [
            (turn.role, bool(turn.tool_calls), at in self.contents) for at, turn in enumerate(turns)
        ]

    def trimmed(self) -> list[str]:
        """Each segment's text as the template would leave it.

        Many templates strip white space or line breaks at the ends of a content; that shows in what is left
        of padding put there.
        """
        texts = [segment.text for _, segment in self.segments]
        of_turn: dict[int, list[int]] = defaultdict(list)
        for number in sorted(self.spots):
            of_turn[self.segments[number][0]].append(number)
        for pad, strippable in ((" ", None), ("\n", "\n")):
            padded = self._render(self._with_sentinels(pad))
            spots = self._find_spots(padded)
            for numbers in of_turn.values():
                first, last = numbers[0], numbers[-1]
                if first not in spots or last not in spots:
                    continue
                if _run_before(padded, spots[first][0], pad) == _run_before(
                    self.text, self.spots[first][0], pad
                ):
                    self._strip(texts, numbers, strippable, left=True)
                if _run_after(padded, spots[last][1], pad) == _run_after(self.text, self.spots[last][1], pad):
                    self._strip(texts, numbers[::-1], strippable, left=False)
        return texts

    def _strip(self, texts: list[str], numbers: Sequence[int], strippable: str | None, left: bool) -> None:
        """Strip the segments of a turn from one end up to the first that has something to keep there."""
        for number in numbers:
            segment = self.segments[number][1]
            if segment.before if left else segment.after:
                return
            texts[number] = texts[number].lstrip(strippable) if left else texts[number].rstrip(strippable)
            if texts[number] or segment.before or segment.after:
                return

    def turn_ends(self) -> list[int]:
        """The offset at which each turn ends, its closing markup included.

        The closing of a turn is what the rendering goes on with when it stops there; what then stands up to
        the next content opens the turns that follow.
        """
        upcoming = [len(self.turns)] * len(self.turns)
        for at in range(len(self.turns) - 2, -1, -1):
            upcoming[at] = at + 1 if at + 1 in self.contents else upcoming[at + 1]
        known: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        ends: list[int] = []
        start, since = 0, 0
        for at in range(len(self.turns)):
            if at in self.contents:
                start, since = self.contents[at][1], at
            until = upcoming[at]
            stop = self.contents[until][0] if until in self.contents else len(self.text)
            openings = known[at - since, *self._kinds[since : until + 1]]
            opening = next((o for o in openings if self.text.endswith(o, start, stop)), None)
            if opening is None:
                gap = self.text[start:stop]
                opening = gap[common_prefix(self._closing(at, since), gap) :]
                openings.append(opening)
            ends.append(max(stop - len(opening), ends[-1] if ends else 0))
        return ends

    def first_turn_start(self) -> int | None:
        """The offset after what the template puts in front of everything (a default system prompt, say);
        None if that can't be told from the opening of the first turn.

        The opening is what stands before such a turn when there is a second one: right after the first, or
        after a reply where the template wants roles to alternate.
        """
        marker = self._marker(0)
        first = {"role": self.turns[0].role.value, "content": marker}
        reply = {"role": "user" if first["role"] == "assistant" else "assistant", "content": marker}
        for before in ([first], [first, reply]):
            try:
                alone, stopped, again = map(self._render, ([first], before, [*before, first]))
            except TemplateRefusedError:
                continue
            if again.count(marker) != len(before) + 1:
                return None
            opening = again.split(marker)[-2].removeprefix(stopped.rpartition(marker)[2])
            front = alone.partition(marker)[0]
            preamble = front.removesuffix(opening)
            agrees = front.endswith(opening) and self.text.startswith(preamble)
            return len(preamble) if agrees else None
        return None

    def call_extents(self, ends: Sequence[int]) -> dict[int, Extent]:
        """For each turn with tool calls that the template wrote, where it did; `ends` is `turn_ends`."""
        known: dict[tuple[Any, ...], list[tuple[str, str]]] = defaultdict(list)
        extents: dict[int, Extent] = {}
        for at, turn in enumerate(self.turns):
            if not turn.tool_calls:
                continue
            begin = self.contents[at][1] if at in self.contents else ends[at - 1] if at else 0
            around = known[at == 0, *self._kinds[max(at - 1, 0) : at + 2]]
            written = self.text[begin : ends[at]]
            fitting = (a for a in around if written.startswith(a[0]) and written.endswith(a[1]))
            learned = next(fitting, None)
            if learned is None:
                learned = self._around_calls(at, begin, written)
                around.append(learned)
            start, stop = begin + len(learned[0]), ends[at] - len(learned[1])
            if start < stop:
                extents[at] = (start, stop)
        return extents

    def _around_calls(self, at: int, begin: int, written: str) -> tuple[str, str]:
        """What the template writes before and after the tool calls of turn `at`, in the text `written` from
        `begin` to the turn's end: what it writes there around a content without calls."""
        marker = self._marker(0)
        spoken = self._render([*self._messages[:at], {"role": Role.ASSISTANT.value, "content": marker}])
        opening, _, closing = spoken.rpartition(marker)
        shared = 0 if at in self.contents else common_prefix(opening[begin:], written)
        return written[:shared], closing if written.endswith(closing) else ""

    def _closing(self, at: int, since: int) -> str:
        """What the template writes after the content of turn `since` when it stops after turn `at`; nothing
        if it refuses to stop there."""
        try:
            rendered = self._render(self._messages[: at + 1])
        except TemplateRefusedError:
            return ""
        if since not in self.contents:
            return rendered
        last = max(number for number in self.spots if self.segments[number][0] == since)
        _, found, closing = rendered.rpartition(self._marker(last))
        return closing if found else ""

    def _with_sentinels(self, pad: str = "") -> list[Message]:
        """The messages, `pad` at both ends of each content."""
        messages: list[Message] = []
        numbers = count()
        for turn in self.turns:
            content = "".join(
                segment.before + (self._marker(number) if segment.text else "") + segment.after
                for segment, number in zip(turn.segments, numbers, strict=False)
            )
            messages.append(message_of(turn, f"{pad}{content}{pad}" if content else ""))
        return messages

    def _marker(self, number: int) -> str:
        return f"{self._nonce}{number}e"

    def _find_spots(self, text: str) -> dict[int, Extent]:
        spots: dict[int, Extent] = {}
        for match in re.finditer(rf"{self._nonce}(\d+)e", text):
            if int(match[1]) in spots:
                raise TemplateRefusedError("it writes a message's content twice")
            spots[int(match[1])] = match.span()
        return spots

    def _content_extents(self) -> dict[int, Extent]:
        extents: dict[int, Extent] = {}
        for number, (start, end) in self.spots.items():
            at = self.segments[number][0]
            known = extents.get(at, (start, end))
            extents[at] = (min(start, known[0]), max(end, known[1]))
        return extents


def message_of(turn: Turn, content: str) -> Message:
    """A turn with `content` as the message that chat templates know."""
    message: dict[str, Any] = {"role": turn.role.value, "content": content}
    if turn.tool_calls:
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    if turn.name is not None:
        message["name"] = turn.name
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    """Templates write the arguments out as JSON themselves, so they are given the value where it is one."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):
        arguments = call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def common_prefix(ours: str, theirs: str) -> int:
    """The length of the beginning that two texts share."""
    low, high = 0, min(len(ours), len(theirs))
    while low < high:
        middle = (low + high + 1) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _run_before(text: str, position: int, character: str) -> int:
    """How many times `character` stands directly before `position`."""
    length = 0
    while length < position and text[position - length - 1] == character:
        length += 1
    return length


def _run_after(text: str, position: int, character: str) -> int:
    length = 0
    while position + length < len(text) and text[position + length] == character:
        length += 1
    return length
