"""What memories a text holds, in a form that tests can compare."""

from memscope.conversation.model import Entry, Place, Role
from memscope.conversation.rules import PACK, Rule, find_memories


def entry(text: str, role: Role = Role.SYSTEM, tool: str | None = None, injected: bool = False) -> Entry:
    return Entry(role, text, name=tool, injected=injected)


def places(given: Entry, rules: tuple[Rule, ...] = PACK) -> list[tuple[str, Place]]:
    """Keys and places, in the order in which they stand."""
    found = [(memory.key, place) for memory in find_memories([given], rules) for place in memory.places]
    return sorted(found, key=lambda one: one[1].inner.start)


def said(given: Entry, rules: tuple[Rule, ...] = PACK) -> list[tuple[str, str]]:
    """Keys and what the memories say."""
    return [(key, given.text[place.inner.start : place.inner.end]) for key, place in places(given, rules)]


def texts(given: Entry, rules: tuple[Rule, ...] = PACK) -> list[str]:
    """What the memories say."""
    return [text for _, text in said(given, rules)]


def keys(given: Entry, rules: tuple[Rule, ...] = PACK) -> list[str]:
    """The keys."""
    return [key for key, _ in said(given, rules)]


def without(given: Entry, *left_out: int, rules: tuple[Rule, ...] = PACK) -> str:
    """The text without the memories of these numbers, all of them if none is given."""
    found = places(given, rules)
    text = given.text
    for at in sorted(left_out or range(len(found)), reverse=True):
        span = found[at][1].span
        assert span is not None
        text = text[: span.start] + text[span.end :]
    return text
