"""What a file's first and last bytes tell of the session in it; no more of it is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memscope.conversation.library.cut import completed
from memscope.conversation.library.listed import Listed, clean, valid
from memscope.conversation.library.titles import first_said
from memscope.conversation.model import Conversation
from memscope.conversation.readers import FORMATS, Reading, parse_conversation
from memscope.conversation.readers.base import Draft, Format
from memscope.conversation.readers.files import open_file
from memscope.conversation.rules import PACK, Rule
from memscope.errors import InputError

PORTION = 1 << 16
"""Bytes that are read at each end of a file."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The first bytes of a file and the last ones that are none of those; `whole` if that is all of it."""

    head: bytes
    tail: bytes
    whole: bool


def read_ends(path: str) -> Ends:
    """Raises OSError, also for what is no ordinary file."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 2 * PORTION:
            return Ends(file.read(2 * PORTION), b"", whole=True)
        head = file.read(PORTION)
        file.seek(size - PORTION)
        return Ends(head, file.read(PORTION), whole=False)


def look(listed: Listed, ends: Ends, rules: Sequence[Rule] = PACK) -> Listed:
    """A session with what the ends of its file tell; memories are found by `rules`."""
    try:
        if ends.whole:
            return _with_all(listed, parse_conversation(ends.head, listed.name, "", rules=rules))
        form, draft = read_head(ends, listed.name)
    except InputError as error:
        return replace(listed, problem=str(error))
    last = read_tail(ends, form, listed.name) or draft
    return replace(
        listed,
        format=form.label,
        agent=clean(draft.agent),
        title=clean(last.title or draft.title) or first_said(draft.entries) or first_said(last.entries),
        folder=valid(draft.folder),
        author=clean(last.author or draft.author),
    )


def _with_all(listed: Listed, conversation: Conversation) -> Listed:
    source = conversation.source
    told = replace(
        listed,
        format=source.format,
        agent=clean(source.agent),
        title=clean(source.title) or first_said(conversation.entries),
        folder=valid(source.folder),
        author=clean(source.author),
    )
    return with_counts(told, conversation)


def with_counts(listed: Listed, conversation: Conversation) -> Listed:
    """A session with what is in it counted."""
    return replace(
        listed,
        entries=len(conversation.entries),
        memories=len(conversation.memories),
        responses=len(conversation.responses),
    )


def read_head(ends: Ends, name: str) -> tuple[Format, Draft]:
    """The format of a file of which there are but the ends, and how its conversation begins.

    Raises InputError if they don't tell.
    """
    start = ends.head.rfind(b"\n") + 1
    lines = ends.head[:start] + completed(ends.head[start:])
    tail = ends.tail[ends.tail.find(b"\n") + 1 :]
    for data in (lines, completed(ends.head), tail):  # lines, one document, lines after a very long one
        try:
            form, draft = _read(data, FORMATS, name)
        except InputError:
            continue
        if draft.entries or not isinstance(form, FORMATS[-1]):
            return form, draft if data is not tail else replace(draft, entries=[])
    raise InputError(f"{name} does not begin as a conversation does; give a file with a conversation.")


def read_tail(ends: Ends, form: Format, name: str) -> Draft | None:
    """How a conversation in lines of the format ends; None for one document, or if a line is too long."""
    lines = ends.tail[ends.tail.find(b"\n") + 1 :]
    if not lines.startswith(b"{"):
        return None
    try:
        return _read(lines, (type(form),), name)[1]
    except InputError:
        return None


def _read(data: bytes, formats: tuple[type[Format], ...], name: str) -> tuple[Format, Draft]:
    reading = Reading(formats, name, "")
    reading.feed(data)
    reading.finish()
    return reading.draft()
