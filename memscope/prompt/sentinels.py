"""The chat template rendered with a unique sentinel in place of each segment of content."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, pairwise
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
        self.contents = self._content_extents(self.spots)
        """For each turn with content, from its first sentinel's start to its last one's end."""

    def trimmed(self) -> list[str]:
        """Each segment's text as the template would leave it.

        Many templates strip white space or line breaks at the ends of a content; that shows in what is left
        of padding put there.
        """
        texts = [segment.text for _, segment in self.segments]
        of_turn: dict[int, list[int]] = defaultdict(list)
        for number, (at, _) in enumerate(self.segments):
            of_turn[at].append(number)
        for pad, strippable in ((" ", None), ("\n", "\n")):
            padded = self._render(self._with_sentinels(pad))
            spots = self._find_spots(padded)
            both = self.spots.keys() & spots.keys()
            for numbers in of_turn.values():
                first, last = numbers[0], numbers[-1]
                if first in both and _before(padded, spots[first], pad) == _before(
                    self.text, self.spots[first], pad
                ):
                    self._strip(texts, numbers, strippable, left=True)
                if last in both and _after(padded, spots[last], pad) == _after(
                    self.text, self.spots[last], pad
                ):
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

    def turn_extents(self) -> tuple[list[int], dict[int, Extent]]:
        """The offset at which each turn ends, its closing markup included, and for each turn with tool calls
        that the template writes where it does."""
        frames = self._frames()
        ends: list[int] = []
        calls: dict[int, Extent] = {}
        end = 0
        for at, turn in enumerate(self.turns):
            begin, (opening, closing) = end, frames[at]
            said = self.contents[at][1] if at in self.contents else begin + len(opening)
            if turn.tool_calls:
                end = max(begin, self._end_of_calls(at, said, closing, frames))
                if said < end - len(closing):
                    calls[at] = (said, end - len(closing))
            elif at in self.contents or self.text.startswith(opening + closing, begin):
                end = said + len(closing)
            ends.append(end)
        return ends, calls

    def _end_of_calls(self, at: int, said: int, closing: str, frames: Sequence[tuple[str, str]]) -> int:
        """Where a turn with tool calls ends: before the opening of the next one."""
        if at + 1 == len(self.turns):
            return len(self.text)
        following = frames[at + 1][0]
        if at + 1 in self.contents:
            return self.contents[at + 1][0] - len(following)
        found = self.text.find(closing + following, said)
        return found + len(closing) if found >= 0 else said

    def _frames(self) -> list[tuple[str, str]]:
        """What the template writes before and after each turn's content, nothing for turns it leaves out.

        It is read off a rendering in which every turn has content and none tool calls. Between two contents
        stand one turn's closing and the next one's opening; the closing is what the rendering ends with when
        it stops after the turn. Equal stretches are cut alike without rendering again.
        """
        messages = self._with_sentinels(every=True)
        text = self.text if messages == self._messages else self._render(messages)
        contents = self._content_extents(self._find_spots(text))
        following = {at: contents[later][0] for at, later in pairwise(sorted(contents))}
        known: dict[tuple[Role, str], int] = {}
        frames: list[tuple[str, str]] = []
        end = 0
        for at, turn in enumerate(self.turns):
            if at not in contents:
                frames.append(("", ""))
                continue
            start, stop = contents[at]
            gap = text[stop : following.get(at, len(text))]
            if (turn.role, gap) not in known:
                known[turn.role, gap] = common_prefix(self._closing(messages[: at + 1]), gap)
            frames.append((text[end:start], gap[: known[turn.role, gap]]))
            end = stop + known[turn.role, gap]
        return frames

    def first_turn_start(self) -> int | None:
        """The offset after what the template puts in front of everything (a default system prompt, say);
        None if that can't be told from the opening of the first turn.

        The opening is what stands before such a turn when there is a second one: right after the first, or
        after a reply where the template wants roles to alternate.
        """
        if not self.turns:
            return 0
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

    def _closing(self, messages: Sequence[Message]) -> str:
        """What the template writes after the last content; nothing if it refuses to stop there."""
        try:
            return self._render(messages).rpartition(self._nonce)[2].partition("e")[2]
        except TemplateRefusedError:
            return ""

    def _with_sentinels(self, pad: str = "", every: bool = False) -> list[Message]:
        """The messages with sentinels as contents, `pad` at both ends of each; with `every`, in turns without
        content too, and no tool calls."""
        messages: list[Message] = []
        numbers = count()
        for at, turn in enumerate(self.turns):
            content = ""
            for segment in turn.segments:
                marker = self._marker(next(numbers))
                content += segment.before + (marker if segment.text else "") + segment.after
            if every:
                if not any(segment.text for segment in turn.segments):
                    content += self._marker(len(self.segments) + at)
                messages.append(message_of(replace(turn, tool_calls=()), content))
            else:
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

    def _content_extents(self, spots: Mapping[int, Extent]) -> dict[int, Extent]:
        extents: dict[int, Extent] = {}
        for number, (start, end) in spots.items():
            beyond = number - len(self.segments)
            at = beyond if beyond >= 0 else self.segments[number][0]
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


def _before(text: str, extent: Extent, character: str) -> int:
    """How many times `character` stands directly before `extent`."""
    at = extent[0]
    while at > 0 and text[at - 1] == character:
        at -= 1
    return extent[0] - at


def _after(text: str, extent: Extent, character: str) -> int:
    at = extent[1]
    while at < len(text) and text[at] == character:
        at += 1
    return at - extent[1]
