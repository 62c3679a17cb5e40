"""The chat template rendered with a unique sentinel in place of each segment of content."""

import re
from collections.abc import Mapping, Sequence
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
        self._nonce = self._unused("segment")
        self._sentinel = re.compile(rf"{self._nonce}(\d+)e")
        self._messages = self._with_sentinels()
        self.text = self._render(self._messages)
        self.spots = self._find_spots()
        """For each segment that the template writes, the extent of its sentinel in `text`."""
        self._contents = self._content_extents()

    def trimmed(self) -> list[str]:
        """Each segment's text as the template would leave it.

        Many templates strip white space or line breaks at the ends of a content; that shows in what is left
        of padding put there.
        """
        texts = [segment.text for _, segment in self.segments]
        ends: dict[int, Extent] = {}
        for number in sorted(self.spots):
            at = self.segments[number][0]
            ends[at] = (ends.get(at, (number, number))[0], number)
        for pad, strippable in ((" ", None), ("\n", "\n")):
            padded = self._render(self._with_sentinels(pad))
            spots = {int(match[1]): match.span() for match in self._sentinel.finditer(padded)}
            for first, last in ends.values():
                if _run_before(padded, spots[first][0], pad) == _run_before(
                    self.text, self.spots[first][0], pad
                ):
                    texts[first] = texts[first].lstrip(strippable)
                if _run_after(padded, spots[last][1], pad) == _run_after(self.text, self.spots[last][1], pad):
                    texts[last] = texts[last].rstrip(strippable)
        return texts

    def turn_ends(self) -> list[int]:
        """The offset at which each turn ends, its closing markup included.

        Between two contents stand one turn's closing and the next one's opening. The closing is what the
        rendering ends with when it stops after the turn; equal stretches are cut alike without rendering
        again.
        """
        known: dict[tuple[Role, str], int] = {}
        ends: list[int] = []
        for at, turn in enumerate(self.turns):
            content = self._contents.get(at)
            if turn.tool_calls:
                ends.append(common_prefix(self._render(self._messages[: at + 1]), self.text))
            elif content is None:
                ends.append(ends[-1] if ends else 0)
            else:
                upcoming = (
                    self._contents[later][0]
                    for later in range(at + 1, len(self.turns))
                    if later in self._contents
                )
                gap = self.text[content[1] : next(upcoming, len(self.text))]
                key = (turn.role, gap)
                if key not in known:
                    known[key] = common_prefix(self._closing(self._messages[: at + 1]), gap)
                ends.append(content[1] + known[key])
        return ends

    def first_turn_start(self) -> int:
        """The offset after what the template puts in front of everything (a default system prompt, say).

        The first turn's opening is what stands before its content when it is there a second time.
        """
        content = self._contents.get(0)
        if content is None:
            return 0
        try:
            closing = self._closing(self._messages[:1])
            twice = self._render([self._messages[0], self._messages[0]])
        except TemplateRefusedError:
            return content[0]
        matches = list(self._sentinel.finditer(twice))
        second = len(matches) // 2
        opening = twice[matches[second - 1].end() : matches[second].start()].removeprefix(closing)
        return content[0] - len(opening) if self.text[: content[0]].endswith(opening) else content[0]

    def call_extent(self, at: int, end: int) -> Extent | None:
        """Where the template wrote the tool calls of turn `at`, which ends at `end`; None if it did not."""
        if not self.turns[at].tool_calls:
            return None
        content = {"role": Role.ASSISTANT.value, "content": f"{self._nonce}0e"}
        spoken = self._render([*self._messages[:at], content])
        match = list(self._sentinel.finditer(spoken))[-1]
        opening, closing = spoken[: match.start()], spoken[match.end() :]
        start = self._contents[at][1] if at in self._contents else common_prefix(opening, self.text)
        stop = end - len(closing) if self.text[:end].endswith(closing) else end
        return (start, stop) if start < stop else None

    def _closing(self, messages: Sequence[Message]) -> str:
        """What the template writes after the last content; nothing if it refuses to stop there."""
        try:
            rendered = self._render(messages)
        except TemplateRefusedError:
            return ""
        return rendered[max(match.end() for match in self._sentinel.finditer(rendered)) :]

    def _with_sentinels(self, pad: str = "") -> list[Message]:
        """The messages, `pad` at both ends of each content."""
        messages: list[Message] = []
        number = 0
        for turn in self.turns:
            marked = ""
            for segment in turn.segments:
                marked += f"{segment.before}{self._nonce}{number}e{segment.after}"
                number += 1
            messages.append(message_of(turn, f"{pad}{marked}{pad}" if marked else ""))
        return messages

    def _find_spots(self) -> dict[int, Extent]:
        spots: dict[int, Extent] = {}
        for match in self._sentinel.finditer(self.text):
            if int(match[1]) in spots:
                raise TemplateRefusedError("it writes a message's content twice")
            spots[int(match[1])] = match.span()
        return spots

    def _content_extents(self) -> dict[int, Extent]:
        """For each turn with content, from its first sentinel's start to its last one's end."""
        extents: dict[int, Extent] = {}
        for number, (start, end) in self.spots.items():
            at = self.segments[number][0]
            known = extents.get(at, (start, end))
            extents[at] = (min(start, known[0]), max(end, known[1]))
        return extents

    def _unused(self, word: str) -> str:
        """`word`, lengthened until no content holds it."""
        while any(word in segment.before + segment.text + segment.after for _, segment in self.segments):
            word += "x"
        return word


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


def common_prefix(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """The length of the beginning that two sequences share."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((at for at, (our, their) in pairs if our != their), min(len(ours), len(theirs)))


def _run_before(text: str, position: int, character: str) -> int:
    """How many times `character` stands directly before `position`."""
    return len(text[:position]) - len(text[:position].rstrip(character))


def _run_after(text: str, position: int, character: str) -> int:
    return len(text[position:]) - len(text[position:].lstrip(character))
