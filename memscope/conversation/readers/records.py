"""Records given to the format whose they are: the lines of a file one by one, or a whole document at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from memscope.conversation.readers.base import Format, JsonObject
from memscope.conversation.readers.json_text import BrokenError, decode, kind, line_of, sentence
from memscope.errors import InputError

Formats = Sequence[type[Format]]
"""In the order in which they are asked; the last one takes what nobody claims."""

_NAMED = 3
"""Lines left out that the notes name one by one."""
_ODD = (msgspec.ValidationError, RecursionError, LookupError, TypeError, ValueError, AttributeError)
"""What a record of an unexpected shape makes a careless format raise."""


class UnknownError(InputError):
    """Nothing in a file is of any format."""


class LeftOut:
    """The lines that could not be read: the first ones, how many more, and half a last one. What stands in no
    lines is called by another `unit`."""

    def __init__(self, unit: str = "line") -> None:
        self._unit = unit
        self._first: list[tuple[int, str]] = []
        self._more = 0
        self._last = 0
        self._half: tuple[int, str] | None = None

    def add(self, line: int, reason: str) -> None:
        """One more line."""
        if len(self._first) < _NAMED:
            self._first.append((line, reason))
        else:
            self._more, self._last = self._more + 1, line

    def add_half(self, line: int, reason: str) -> None:
        """The last line, which its writer has not ended."""
        self._half = line, reason

    @property
    def error(self) -> str | None:
        """The first of them as a sentence, None if everything could be read."""
        problem = next(iter(self._first), self._half)
        return None if problem is None else f"{self._unit.capitalize()} {problem[0]}: {problem[1]}."

    def notes(self) -> Iterator[str]:
        """The first ones line by line, the others counted."""
        unit = self._unit
        for line, reason in self._first:
            yield f"{unit} {line} was left out: {reason}"
        if self._more == 1:
            yield f"1 more {unit} was left out, {unit} {self._last}"
        elif self._more:
            yield f"{self._more:,} more {unit}s were left out, the last of them {unit} {self._last}"
        if self._half is not None:
            yield f"line {self._half[0]} seems half written and was left out: {self._half[1]}"


class Records:
    """The lines of a file as the records of one format: the first that claims one of them.

    Until then the last format has them; once another one claims a record it gets those before as well.
    """

    def __init__(self, formats: Formats) -> None:
        self._formats = formats
        self._claimed = False
        self._unclaimed: list[tuple[int, JsonObject | str]] = []
        """Numbers of lines and their records, or what is wrong with them, before a format claims one."""
        self._lines = 0
        self._alone: tuple[int, bytes] | None = None
        """The first line that is not blank, while there is no other."""
        self.format: Format = formats[-1]()
        self.left_out = LeftOut()

    @property
    def document(self) -> bytes | None:
        """The file, if it is one line that no format claims: it may be a document rather than a record."""
        if self._claimed or self._alone is None:
            return None
        line, data = self._alone
        return b"\n" * (line - 1) + data

    @property
    def claimed(self) -> bool:
        """Whether a line is known to be of a format."""
        return self._claimed

    def take(self, line: bytes) -> None:
        """The next line, ended."""
        self._take(line, last=False)

    def take_last(self, line: bytes) -> None:
        """The last line, which has no line end and may be half written."""
        self._take(line, last=True)

    def _take(self, line: bytes, last: bool) -> None:
        self._lines += 1
        if not line.strip():
            return
        self._alone = None if self._unclaimed or self._claimed else (self._lines, line)
        try:
            record = decode(line)
        except BrokenError as error:
            if last:
                self.left_out.add_half(self._lines, str(error))
            else:
                self._put(str(error))
            return
        self._put(record if isinstance(record, dict) else f"expected an object, found {kind(record)}")

    def _put(self, record: JsonObject | str) -> None:
        """A record of the line at hand, or what is wrong with it."""
        if not self._claimed:
            form = None if isinstance(record, str) else _claiming(self._formats, record)
            if form is None:
                self._unclaimed.append((self._lines, record))
            else:
                self._begin(form)
        elif not isinstance(record, str) and (other := self._of_another(record)) is not None:
            record = f"it is of the format {other.name}, the lines before it are {self.format.name}"
        self._add(self._lines, record)

    def _of_another(self, record: JsonObject) -> type[Format] | None:
        """The format that a record is of, if it is not of the one at hand."""
        other = _claiming(self._formats, record)
        return None if other is None or self.format.accepts(record) else other

    def _begin(self, form: type[Format]) -> None:
        self._claimed = True
        if form is not type(self.format):
            self.format, self.left_out = form(), LeftOut()
            for line, record in self._unclaimed:
                self._add(line, record)
        self._unclaimed.clear()

    def _add(self, line: int, record: JsonObject | str) -> None:
        if isinstance(record, str):
            self.left_out.add(line, record)
            return
        try:
            add(self.format, record)
        except InputError as error:
            self.left_out.add(line, str(error).rstrip("."))


def add(form: Format, record: Any) -> None:
    """Give a format one more record. Raises InputError if it can't be read, whatever is wrong with it."""
    try:
        form.add(record if isinstance(record, dict) else msgspec.convert(record, dict[str, Any]))
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"{sentence(error)}.") from error
    except _ODD as error:
        raise InputError(f"it is not as {form.name} writes it ({error!r}).") from error


def read_document(formats: Formats, data: bytes) -> Format:
    """The format of one JSON document, with its records. Raises InputError that names line and place,
    UnknownError if no format knows anything in it."""
    try:
        document = decode(data)
    except BrokenError as error:
        line = data[: error.byte].count(b"\n") + 1
        broken = InputError if data.lstrip().startswith((b"{", b"[")) else UnknownError
        raise broken(f"Line {line}: {error}.") from error
    if isinstance(document, dict) and (claiming := _claiming(formats, document)):
        return _read(claiming(), [document], data, document)
    for form in formats:
        records = _unpack(form, document)
        if records is not None:
            known = any(isinstance(record, dict) and _claiming(formats, record) for record in records)
            return _read(form(), records, data, document, InputError if known else UnknownError)
    if isinstance(document, dict):
        return _read(formats[-1](), [document], data, document, UnknownError)
    raise UnknownError(f"Line 1: expected a list of messages, found {kind(document)}.")


def _read(
    form: Format, records: Sequence[Any], data: bytes, document: Any, wrong: type[InputError] = InputError
) -> Format:
    for index, record in enumerate(records):
        try:
            add(form, record)
        except InputError as error:
            raise wrong(f"{_place(records, index, data, document)}: {error}") from error
    return form


def _place(records: Sequence[Any], index: int, data: bytes, document: Any) -> str:
    """Where a record stands, as well as it can be told: `Line 4, messages[2]`."""
    if len(records) == 1 and records[0] is document:
        return "Line 1"
    if records is document:
        field, name = None, f"message[{index}]"
    else:
        field = next((name for name, value in document.items() if value is records), None)
        if field is None:
            field, index = next(_holding(records[index], document), (None, index))
        if field is None:
            return f"Record {index + 1}"
        name = f"{field}[{index}]"
    try:
        return f"Line {line_of(data, field, index)}, {name}"
    except RecursionError:
        return name


def _holding(record: Any, document: JsonObject) -> Iterator[tuple[str, int]]:
    """The fields of a document whose list has that object as an item, and where."""
    for field, value in document.items():
        if isinstance(record, dict) and isinstance(value, list):
            yield from ((field, at) for at, item in enumerate(value) if item is record)


def _claiming(formats: Formats, record: JsonObject) -> type[Format] | None:
    """The first format that claims a record."""
    for form in formats:
        try:
            if form.claims(record):
                return form
        except _ODD:
            continue
    return None


def _unpack(form: type[Format], document: Any) -> list[Any] | None:
    try:
        return form.unpack(document)
    except _ODD:
        return None
