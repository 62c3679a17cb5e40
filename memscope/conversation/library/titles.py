"""What a session is about, where its file has no title: the first thing that the user said."""

import re
from collections.abc import Iterable

from memscope.conversation.library.listed import clean
from memscope.conversation.model import Entry, Role

_BEGINNING = 20_000
"""Characters of a message that are looked at."""
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
        entry.text[:_BEGINNING]
        for entry in entries
        if entry.role is Role.USER and entry.memory_key is None and not entry.kept
    ]
    said = (clean(spoken(text)) for text in texts)
    return next(filter(None, said), "") or next(filter(None, map(clean, texts)), "")


def spoken(text: str) -> str:
    """A user's message without the tagged blocks and wrappers that programs begin it with; empty if that is
    all of it."""
    before, request, after = text.partition(_REQUEST)
    if request:
        return after
    if match := _INSTRUCTIONS.match(before):
        before = before[match.end() :]
    elif _INJECTED.match(before):
        return ""
    while match := _TAGGED.match(before):
        closing = f"</{match['tag']}>"
        end = before.find(closing, match.end())
        if end < 0:  # the block is longer than what is looked at, or this is no block
            return "" if len(before) > _BEGINNING // 2 else before
        before = before[end + len(closing) :]
    return before
