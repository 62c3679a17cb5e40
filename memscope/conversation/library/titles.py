"""What a session is about, where its file has no title: the first thing that the user said."""

import re
from collections.abc import Iterable

from memscope.conversation.library.listed import clean
from memscope.conversation.model import Entry, Role

_REQUEST = "## My request for Codex:"
"""What an editor's context ends with; the request follows."""
# Texts come from strangers: each pattern takes time linear in the text's length.
_TAGGED = re.compile(r"\s*+<(?P<tag>[A-Za-z][\w:.-]*+)(?:\s[^<>]*+)?>")
_INJECTED = re.compile(
    r"\s*+(?:# AGENTS\.md instructions\b[^\n]*+|# Context from my IDE setup:|Caveat: The messages below |"
    r"\[Request interrupted by user|This session is being continued from a previous conversation)"
)
_INSTRUCTIONS = re.compile(r"\s*+# AGENTS\.md instructions\b[^\n]*+\s*+(?=<)")


def first_said(entries: Iterable[Entry]) -> str:
    """How the first thing that the user said begins, on one line: without what programs put in front of it,
    unless they put there everything. Empty if nothing was said."""
    texts = [
        entry.text
        for entry in entries
        if entry.role is Role.USER and entry.memory_key is None and not entry.kept
    ]
    said = (clean(spoken(text)) for text in texts)
    return next(filter(None, said), "") or next(filter(None, map(clean, texts)), "")


def spoken(text: str) -> str:
    """A user's message without the tagged blocks and wrappers that programs begin it with; empty if that is
    all of it."""
    _, request, after = text.partition(_REQUEST)
    if request:
        return after
    instructions = _INSTRUCTIONS.match(text)
    if instructions is None and _INJECTED.match(text):
        return ""
    at = instructions.end() if instructions else 0
    while tag := _TAGGED.match(text, at):
        closing = f"</{tag['tag']}>"
        end = text.find(closing, tag.end())
        if end < 0:
            return "" if instructions else text[at:]
        at = end + len(closing)
    return text[at:]
