"""The texts of a conversation's entries as the transcript shows them. Everything returned is printable."""

import re

import msgspec

from memscope.conversation.model import Entry, Span
from memscope.tui.safe import one_line, printable
from memscope.tui.transcript.nodes import Kind, Part

_THINK_TAGS = re.compile(r"</?think>")


def role_of(entry: Entry) -> str:
    """Who speaks, in one word; a memory that is an entry of its own is that first."""
    return "memory" if entry.memory_key is not None else entry.role.value


def introduction(entry: Entry) -> str:
    """What stands in front of an entry's text, if anything: its memory's key, its name, how it came here."""
    parts = (
        one_line(entry.memory_key or ""),
        one_line(entry.name or ""),
        "(kept)" if entry.kept else "",
        "(injected)" if entry.injected else "",
    )
    return " · ".join(filter(None, parts))


def text_of(entry: Entry, part: Part) -> str:
    """The whole text of an entry without its thinking, or of one thought or call."""
    match part.kind:
        case Kind.ENTRY:
            return printable(entry.said.strip())
        case Kind.THINKING:
            return printable(_thought(entry, entry.thinking[part.number]))
        case Kind.CALL:
            return printable(_arguments(entry.tool_calls[part.number].arguments))
    raise AssertionError(part)


def first_words(entry: Entry, most: int) -> str:
    """At most so many characters, in one line, of what an entry says, else calls, else thinks."""
    said = entry.said.lstrip()[:most] if entry.thinking else entry.text.lstrip()[:most]
    calls = (f"→ {call.name}({call.arguments[:most]})" for call in entry.tool_calls)
    words = one_line(" ".join(filter(None, [said, *calls])))
    if not words and entry.thinking:
        words = "thinking: " + one_line(_thought(entry, entry.thinking[0])[:most])
    return words


def _thought(entry: Entry, span: Span) -> str:
    return _THINK_TAGS.sub("", entry.text[span.start : span.end]).strip()


def _arguments(arguments: str) -> str:
    """The arguments of a call, a line each, texts as they are; JSON that is no object stays as it is."""
    try:
        decoded = msgspec.json.decode(arguments)
        if not isinstance(decoded, dict):
            return arguments.strip()
        return "\n".join(f"{key}: {_value(value)}" for key, value in decoded.items())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return arguments.strip()


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
