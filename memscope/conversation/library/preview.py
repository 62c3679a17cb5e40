"""How a session begins and ends, from the two ends of its file."""

from dataclasses import dataclass

from memscope.conversation.library.heads import Ends, read_ends, read_head, read_tail
from memscope.conversation.library.listed import Listed
from memscope.conversation.model import Entry
from memscope.conversation.readers import parse_conversation, read_conversation
from memscope.errors import InputError


@dataclass(frozen=True, slots=True)
class Preview:
    """The first and last entries of a session, and whether there are `more` between them."""

    first: tuple[Entry, ...]
    last: tuple[Entry, ...]
    more: bool


def preview(listed: Listed, count: int) -> Preview:
    """`count` entries of each end, as far as the first and last bytes of the file hold so many.

    Raises InputError, one sentence, if there are none.
    """
    if listed.branch:
        return _of(read_conversation(listed.path, listed.branch).entries, count)
    try:
        ends = read_ends(listed.path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{listed.name}: {reason}; choose another session.") from error
    if ends.whole:
        return _of(parse_conversation(ends.head, listed.name, "").entries, count)
    return _of_ends(ends, listed.name, count)


def _of(entries: tuple[Entry, ...], count: int) -> Preview:
    rest = entries[count:]
    return Preview(entries[:count], rest[-count:], len(rest) > count)


def _of_ends(ends: Ends, name: str, count: int) -> Preview:
    form, draft = read_head(ends, name)
    last = read_tail(ends, form, name)
    return Preview(tuple(draft.entries[:count]), tuple(last.entries[-count:] if last else ()), more=True)
