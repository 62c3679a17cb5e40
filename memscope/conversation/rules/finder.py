"""Applies memory rules to the entries of a conversation, to each text once."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from memscope.conversation.model import Entry, Memory, Place, Role, Span, memories_of
from memscope.conversation.rules.base import Found, Passage, Rule

_SECONDS = 2.0
_SECONDS_PER_CHARACTER = 1e-7
"""What a rule may take: so long in all, and so much more for what it has read; ten million characters a
second are little for a pattern that does not search back and forth."""


class Finder:
    """Finds memories by rules, the first ones first: what one has found is not found again by another.

    Entries given again, or equal ones, are not read again. A rule that takes too long is passed over from
    there on.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = list(rules)
        self._found: dict[Passage, tuple[Found, ...]] = {}
        self._left = dict.fromkeys(range(len(self._rules)), _SECONDS)
        """The seconds that the rules which are still applied may take."""
        self.notes: list[str] = []
        """What was passed over, each a sentence without its full stop."""

    def find(self, entries: Iterable[Entry]) -> tuple[Memory, ...]:
        """The memories of a conversation: entries that are one, and spans inside other entries."""
        return memories_of(self._places(entries))

    def _places(self, entries: Iterable[Entry]) -> Iterator[tuple[str, Place]]:
        tools: dict[str, str] = {}
        for index, entry in enumerate(entries):
            if entry.memory_key is not None:
                rule = "attachment" if entry.injected else "memory_key"
                yield entry.memory_key, Place(index, Span(0, len(entry.text)), rule=rule)
            elif entry.role is Role.ASSISTANT:
                if entry.tool_calls:
                    tools.update((call.id, call.name) for call in entry.tool_calls if call.id)
            else:
                passage = _passage(entry, tools)
                found = self._found.get(passage)
                if found is None:
                    found = self._found[passage] = tuple(self._read(passage, index))
                yield from ((one.key, Place(index, one.inner, one.span, one.rule)) for one in found)

    def _read(self, passage: Passage, index: int) -> list[Found]:
        """What the rules find in a passage, in order."""
        taken: list[Found] = []
        for at, left in list(self._left.items()):
            rule, began = self._rules[at], time.perf_counter()
            try:
                more = [one for one in rule.find(passage, left) if _free(one.span, taken)]
            except TimeoutError:
                del self._left[at]
                self.notes.append(
                    f"the memory rule {rule.name!r} took too long and was not applied from entry {index} on"
                )
                continue
            spent = time.perf_counter() - began
            self._left[at] = max(0.01, left - spent + len(passage.text) * _SECONDS_PER_CHARACTER)
            taken = (
                sorted([*taken, *more], key=lambda one: one.span.start) if taken and more else taken or more
            )
        return taken


def _passage(entry: Entry, tools: dict[str, str]) -> Passage:
    tool = entry.name or tools.get(entry.tool_call_id or "", "") if entry.role is Role.TOOL else ""
    return Passage(entry.text, entry.role, entry.injected, tool)


def _free(span: Span, taken: Sequence[Found]) -> bool:
    """Whether a span has no character in common with those that are taken, which stand in order."""
    at = bisect_left(taken, span.end, key=lambda one: one.span.start)
    return at == 0 or taken[at - 1].span.end <= span.start
