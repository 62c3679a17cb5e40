"""The frozen model of a conversation: entries in order, memories with all their places, responses."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import takewhile

STANDARD_INPUT = "standard input"
"""The path of a conversation that came from there."""


class Role(StrEnum):
    """Who speaks in an entry."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters [start, end) in an entry's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the agent made; `arguments` is JSON text."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, or one injected memory (`memory_key` is set and the whole entry is that memory).

    `thinking` lists the `<think>` parts of `text` (tags and the white space after them included), which
    are context but never scored. `context` numbers the contexts that compactions and resets cut a
    conversation into, rising; an entry `kept` from the context before is not a response a second time.
    What a program put in the user's place is `injected`.
    """

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: tuple[Span, ...] = ()
    memory_key: str | None = None
    tool_call_id: str | None = None
    name: str | None = None
    timestamp: str | None = None
    context: int = 0
    kept: bool = False
    injected: bool = False

    is_response: bool = field(init=False, repr=False, compare=False)
    """Whether the agent said or called something here that can be scored."""

    def __post_init__(self) -> None:
        spoken = self.role is Role.ASSISTANT and self.memory_key is None and not self.kept
        spoken = spoken and bool(self.tool_calls or self.said.strip())
        object.__setattr__(self, "is_response", spoken)

    @property
    def said(self) -> str:
        """The text without its thinking."""
        if not self.thinking:
            return self.text
        parts, position = [], 0
        for span in self.thinking:
            parts.append(self.text[position : span.start])
            position = span.end
        return "".join([*parts, self.text[position:]])

    @property
    def spoken(self) -> str:
        """What can be scored of a response: what it says, and a line for each call."""
        calls = [f"→ {call.name}({call.arguments})" for call in self.tool_calls]
        return "\n".join(filter(None, [self.said.strip(), *calls]))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a memory stands: a whole entry, or the characters `span` of one.

    `inner` is the part of the entry's text that says the memory, without the tags around it; `rule` names
    what it was known by.
    """

    entry: int
    inner: Span
    span: Span | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """A key and every place where it stands, in order; leaving it out removes them all."""

    key: str
    places: tuple[Place, ...]

    @property
    def entries(self) -> tuple[int, ...]:
        """The indexes of the entries it stands in, each once."""
        return tuple(dict.fromkeys(place.entry for place in self.places))


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of a conversation that forks: its id, how it begins to differ, and how many entries it has."""

    id: str
    title: str
    entries: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a conversation came from; `notes` says what was skipped or assumed while reading it.

    `agent` is the program that wrote it, `author` the model that spoke, `folder` where the agent worked,
    `missing` what of the model's context the file does not hold; empty where that is not known. `branch` is
    the one of `branches` that was read.
    """

    path: str
    format: str
    title: str
    notes: tuple[str, ...] = ()
    agent: str = ""
    author: str = ""
    folder: str = ""
    missing: str = ""
    branches: tuple[Branch, ...] = ()
    branch: str = ""


@dataclass(frozen=True)
class Conversation:
    """Entries in order, with the memories found in them by first place and the responses by entry index."""

    entries: tuple[Entry, ...]
    memories: tuple[Memory, ...]
    source: Source
    responses: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        responses = tuple(index for index, entry in enumerate(self.entries) if entry.is_response)
        object.__setattr__(self, "responses", responses)

    @cached_property
    def contexts(self) -> int:
        """How many contexts compactions and resets cut it into, at least one."""
        return max(1, len({entry.context for entry in self.entries}))

    @cached_property
    def system_prompt(self) -> frozenset[int]:
        """The entries at the front that are the system prompt, which every context keeps; memories that are
        entries of their own are not part of it."""
        front = takewhile(lambda item: item[1].role is Role.SYSTEM, enumerate(self.entries))
        return frozenset(
            index
            for index, entry in front
            if entry.memory_key is None and entry.context == self.entries[0].context
        )

    def precedes(self, memory: Memory, response: int) -> bool:
        """Whether a memory stands before a response (an entry's index) where the model had it in front of
        itself: in the same context or in the system prompt."""
        context, prompt = self.entries[response].context, self.system_prompt
        return any(
            entry < response and (self.entries[entry].context == context or entry in prompt)
            for entry in memory.entries
        )

    def parting(self, other: "Conversation") -> int:
        """The first entry that is another one in the other conversation, or is in one of the two alone."""
        pairs = enumerate(zip(self.entries, other.entries, strict=False))
        shortest = min(len(self.entries), len(other.entries))
        return next((at for at, (one, two) in pairs if one is not two and one != two), shortest)

    def in_common(self, other: "Conversation") -> tuple[int, int]:
        """How many memories and responses come before the entry where two conversations part; those have the
        same indexes in both."""
        if self is other:
            return len(self.memories), len(self.responses)
        parting = self.parting(other)
        memories = sum(memory.entries[0] < parting for memory in self.memories)
        return memories, sum(response < parting for response in self.responses)

    def memory_text(self, memory: Memory) -> str:
        """What the memory says: the text of its places, repeated copies once, a blank line between others."""
        texts = (
            self.entries[place.entry].text[place.inner.start : place.inner.end] for place in memory.places
        )
        return "\n\n".join(dict.fromkeys(text.strip() for text in texts))


def memories_of(places: Iterable[tuple[str, Place]]) -> tuple[Memory, ...]:
    """Group places by key, keys in order of their first place."""
    by_key: dict[str, list[Place]] = {}
    for key, place in places:
        by_key.setdefault(key, []).append(place)
    return tuple(Memory(key, tuple(places)) for key, places in by_key.items())
