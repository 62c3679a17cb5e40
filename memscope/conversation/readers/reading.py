"""One file being read: its bytes come in any portions, and give the conversation as far as they go."""

from collections.abc import Sequence
from dataclasses import replace

from memscope.conversation.model import Conversation, Entry, Source
from memscope.conversation.readers.base import Draft, Format
from memscope.conversation.readers.json_text import is_list, is_object
from memscope.conversation.readers.records import Formats, LeftOut, Records, UnknownError, read_document
from memscope.conversation.readers.unreadable import HEAD, told_by
from memscope.conversation.rules import PACK, Finder, Rule
from memscope.errors import InputError

_MARK = b"\xef\xbb\xbf"
"""The byte order mark that some editors begin a file with."""


_LISTED = 10
"""Branches named where one is asked for that is not there."""


class Reading:
    """Feed it bytes, ask it for the conversation, feed it more.

    Lines count once they are ended: half a line waits for the rest of it. A line that can't be read is left
    out, and the notes count such lines and name the first. A file that is one JSON document counts once it
    is whole; a record in it that can't be read is an error, since people write such files by hand.
    """

    def __init__(self, formats: Formats, name: str, title: str, rules: Sequence[Rule] = PACK) -> None:
        """`formats` in the order in which they are asked, the last one taking what nobody claims. `name`
        stands in front of what is wrong, `title` is used where the file gives none, `rules` find memories."""
        self._formats = formats
        self._name = name
        self._title = title
        self._finder = Finder(rules)
        self._head = b""
        """The first bytes."""
        self._half: list[bytes] = []
        """The portions of the line that is not ended."""
        self._held: list[bytes] | None = []
        """The lines while they may be those of one document; None once they are records."""
        self._filled = 0
        """How many of those are not blank."""
        self._whole = False
        """Whether the last of them is an object or a list by itself."""
        self._document: Format | None = None
        """The document that the lines are, once asked for."""
        self._records = Records(formats)
        self._settled = False
        """Whether the line at hand has been taken before its line end came."""

    def feed(self, data: bytes) -> None:
        """Take more bytes of the file."""
        if not data:
            return
        self._document = None
        self._head += data[: HEAD - len(self._head)]
        *ended, rest = data.split(b"\n")
        if self._settled:
            self._settled = False
            if ended and not ended[0].strip():
                del ended[0]
        for line in ended:
            if self._half:
                line = b"".join([*self._half, line])
                self._half.clear()
            self._take(line)
        if rest:
            self._half.append(rest)

    def settle(self) -> None:
        """Count a last line that is a whole object as ended, in a file that goes on being written: whatever
        else may come on that line would be damage."""
        if self._held is None and self._half and is_object(line := b"".join(self._half)):
            self._half.clear()
            self._records.take(line)
            self._settled = True

    def finish(self) -> None:
        """The file has ended, and its last line needs no line end. Nothing more may be fed."""
        last = b"".join(self._half)
        self._half.clear()
        if self._held is not None:
            if is_object(last if self._held else last.removeprefix(_MARK)):
                self._take(last)
                last = b""
            if self._held is not None and self._begins_damaged([*self._held, last]):
                self._take_held()
        if self._held is None:
            self._records.take_last(last)
        else:
            self._half.append(last)

    def conversation(self, branch: str | None = None) -> Conversation:
        """The conversation so far: its live branch, or the one of that id.

        Raises InputError, one sentence that says where it broke, if there is none.
        """
        form, left_out = self._read()
        draft = form.draft(branch)
        if not draft.entries and left_out.error:
            raise self._refused(left_out.error, known=self._records.claimed)
        return build_draft(draft, form.label, left_out, self._name, self._title, branch, self._finder)

    def draft(self) -> tuple[Format, Draft]:
        """The format and what the bytes so far tell, even if they hold no message.

        Raises InputError, one sentence that says where it broke.
        """
        form, _ = self._read()
        return form, form.draft()

    def _read(self) -> tuple[Format, LeftOut]:
        """The format with what was read, and the lines that were not. Raises InputError."""
        data = self._records.document
        if self._held is not None:
            data = b"\n".join([*self._held, b"".join(self._half)]).removeprefix(_MARK)
            if not data.strip():
                raise InputError(f"{self._name} is empty; give a file with a conversation.")
        if data is None:
            return self._records.format, self._records.left_out
        if self._document is None:
            try:
                self._document = read_document(self._formats, data)
            except InputError as error:
                raise self._refused(str(error), not isinstance(error, UnknownError)) from error
        return self._document, LeftOut()

    def _refused(self, problem: str, known: bool) -> InputError:
        """What is wrong, and what memscope reads if nothing in the file was `known` to be of a format."""
        if (told := told_by(self._head)) is not None:
            return InputError(f"{self._name}: {told}.")
        if not known:
            names = ", ".join(form.name for form in self._formats[:-1])
            problem = problem.removesuffix(".") + (
                f"; memscope reads chat messages in JSON or JSONL, and files of the formats {names}."
            )
        return InputError(f"{self._name}: {problem}")

    def _take(self, line: bytes) -> None:
        """The next line, ended."""
        if self._held is None:
            self._records.take(line)
            return
        self._held.append(line if self._held else line.removeprefix(_MARK))
        if self._tells_records(self._held[-1]):
            self._take_held()

    def _take_held(self) -> None:
        held, self._held = self._held or [], None
        for line in held:
            self._records.take(line)

    def _tells_records(self, line: bytes) -> bool:
        """Whether lines are records, now that this one has come: the first one is an object, or one follows a
        whole value, which can't be in a document, where a comma would stand between."""
        if not line.strip():
            return False
        self._filled += 1
        follows, self._whole = self._whole, is_object(line)
        if self._filled == 1 and not self._whole:
            self._whole = is_list(line)
            return False
        return self._whole and (self._filled == 1 or follows)

    def _begins_damaged(self, lines: Sequence[bytes]) -> bool:
        """Whether lines that are no document are records, of which the first one is damaged."""
        first, second, *_ = [*(line for line in lines if line.strip()), b"", b""]
        if first.lstrip().startswith(b"[") or not is_object(second):
            return False
        return not is_object(b"\n".join(lines))


def build_draft(
    draft: Draft, label: str, left_out: LeftOut, name: str, title: str, branch: str | None, finder: Finder
) -> Conversation:
    """What was read in a format called `label` as a conversation; `branch` is the id that was asked for, the
    others are as in `Reading`.

    Raises InputError, one sentence that says where it broke, if there is none.
    """
    if not draft.entries:
        if reason := left_out.error or (draft.notes and f"{draft.notes[0]}."):
            raise InputError(f"{name}: {reason}")
        raise InputError(f"{name} holds no messages; give a file with a conversation.")
    if branch is not None and branch != draft.branch:
        count = len(draft.branches)
        ids = ", ".join(f"{one.id} ({one.title})" for one in draft.branches[-_LISTED:])
        has = f"it has {count:,}, such as {ids}" if count > 1 else f"it has only {ids or 'one'}"
        raise InputError(f"{name} has no branch {branch!r}; {has}.")
    source = Source(
        path=name,
        format=label,
        title=draft.title or title,
        notes=(*draft.notes, *left_out.notes()),
        agent=draft.agent,
        author=draft.author,
        folder=draft.folder,
        missing=draft.missing,
        branches=draft.branches,
        branch=draft.branch,
    )
    return build_conversation(draft.entries, source, finder)


def build_conversation(
    entries: Sequence[Entry], source: Source, finder: Finder | None = None
) -> Conversation:
    """Entries with the memories that are found in them, by memscope's own rules if no finder is given."""
    finder = finder or Finder(PACK)
    memories = finder.find(entries)
    return Conversation(tuple(entries), memories, replace(source, notes=(*source.notes, *finder.notes)))
