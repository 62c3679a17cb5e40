"""What a memory rule is: it looks at one passage and tells which of its characters are memories."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from memscope.conversation.model import Role, Span


class Passage(NamedTuple):
    """All that a rule may look at, of an entry that is not the agent's own: equal passages hold equal
    memories. `tool` is the name of the tool whose result this is, empty if that is not known."""

    text: str
    role: Role
    injected: bool = False
    tool: str = ""

    @property
    def written_by_program(self) -> bool:
        """Whether a tag anywhere in the text was put there by the program. A user or a tool may quote one:
        what they say is what the agent was given, but only a tag at its start was meant for it."""
        return self.role is Role.SYSTEM or self.injected


@dataclass(frozen=True, slots=True)
class Found:
    """A memory in a passage: `span` is left out with it, `inner`, inside `span`, says it; `rule` found it."""

    key: str
    inner: Span
    span: Span
    rule: str


class Rule(Protocol):
    """One way to find memories. Whatever the text, it ends in a time linear in its length or in `seconds`."""

    @property
    def name(self) -> str:
        """What the rule is called where its memories are listed."""

    def find(self, passage: Passage, seconds: float) -> Iterable[Found]:
        """The memories, in order, none overlapping another. Raises TimeoutError after `seconds`."""


def text_key(block: str, text: str) -> str:
    """The key of a memory that brings none: where it stood, and eight digits of its text's SHA-256."""
    return f"{block}#{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def says_something(text: str) -> bool:
    """Whether there is more in a text than white space and the signs that set memories apart."""
    return bool(text.strip("§ \t\r\n"))


def given_key(value: object) -> str:
    """A text or a number from JSON as a key, without what UTF-8 can't hold; empty if it can't be one."""
    if isinstance(value, str) or type(value) is int:
        return str(value).encode("utf-8", "replace").decode().strip()
    return ""


def trimmed(text: str, start: int, end: int) -> Span:
    """The span without the white space at its ends."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return Span(start, max(start, start + len(part.strip())))
