"""Words found in a transcript: in keys, texts, thinking and tool calls, whatever is folded."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from memscope.conversation.model import Entry
from memscope.tui.transcript.nodes import HEAD, Kind, Part, Spot
from memscope.tui.transcript.texts import introduction, text_of
from memscope.tui.transcript.tree import Transcript
from memscope.tui.view import MatrixView


class Found(NamedTuple):
    """A node that holds the words, by its entry and the order of its parts."""

    entry: int
    part: Part


class Finder:
    """Looks for `words`, whatever their case, and goes from one line that holds them to the next."""

    def __init__(self, view: MatrixView, transcript: Transcript, words: str) -> None:
        self.words = words
        self.pattern = re.compile(re.escape(words), re.IGNORECASE)
        self.found: list[Found] = []
        """The nodes found so far, in order."""
        self._view = view
        self._transcript = transcript
        self._lowered = words.lower()

    def look_again(self, first: int) -> None:
        """From this entry on everything has become something else, or is new."""
        self.found = self.found[: bisect_left(self.found, (first,))]
        self.look(first, len(self._view.conversation.entries))

    def look(self, first: int, end: int) -> None:
        """Look through the entries from `first` to before `end`; called for each part of them in order."""
        entries = self._view.conversation.entries
        for entry in range(first, min(end, len(entries))):
            parts = dict.fromkeys(part for part, text in self._texts(entry) if self._lowered in text.lower())
            self.found += [Found(entry, part) for part in parts]

    def step(self, spot: Spot, step: int) -> Spot | None:
        """The next line (1) that holds the words after a spot, or the one before it (-1), around the end;
        what it is folded into is unfolded. None if nothing is found."""
        if not self.found:
            return None
        here = Found(spot.entry, spot.part)
        at = bisect_right(self.found, here) - 1
        if at >= 0 and self.found[at] == here:
            lines = [line for line in self._lines(here) if (line - spot.line) * step > 0]
            if lines:
                return self._reveal(here, min(lines) if step > 0 else max(lines))
            at += step
        elif step > 0:
            at += 1
        found = self.found[at % len(self.found)]
        return self._reveal(found, self._lines(found)[0 if step > 0 else -1])

    def place(self, spot: Spot) -> int:
        """Which of the nodes found a spot is in, from 1."""
        return bisect_right(self.found, Found(spot.entry, spot.part))

    def _texts(self, entry: int) -> Iterator[tuple[Part, str]]:
        """Every text of an entry with the part that shows it, in the parts' order."""
        found = self._view.conversation.entries[entry]
        yield HEAD, introduction(found)
        yield HEAD, found.said
        for number, span in enumerate(found.thinking):
            yield Part(Kind.THINKING, number), found.text[span.start : span.end]
        for number, call in enumerate(found.tool_calls):
            part = Part(Kind.CALL, number)
            yield part, call.name
            yield part, text_of(found, part)
        for memory in self._transcript.held_by(entry):
            yield Part(Kind.MEMORY, memory), self._view.matrix.keys[memory]

    def _lines(self, found: Found) -> list[int]:
        """The lines of a node, unfolded, that hold the words."""
        entry, part = self._view.conversation.entries[found.entry], found.part
        if part.kind is Kind.MEMORY:
            return [0]
        named, first = _name(entry, part)
        lines = {0} if named and self.pattern.search(named) else set()
        text, ranges = self._transcript.text(found.entry, part)
        starts = [start for start, _ in ranges]
        lines |= {first + bisect_right(starts, match.start()) - 1 for match in self.pattern.finditer(text)}
        return sorted(lines) or [0]

    def _reveal(self, found: Found, line: int) -> Spot:
        entry = self._view.conversation.entries[found.entry]
        if line or not introduction(entry) or found.part != HEAD:
            self._transcript.reveal(found.entry, found.part)
        return self._transcript.shown(Spot(found.entry, found.part, line))


def _name(entry: Entry, part: Part) -> tuple[str, int]:
    """What stands in a node's first line beside its text, and the line where its text begins."""
    if part.kind is Kind.CALL:
        return entry.tool_calls[part.number].name, 1
    if part.kind is Kind.THINKING:
        return "", 1
    name = introduction(entry)
    return name, 1 if name else 0
