"""What every format of conversation files must hold to, for its own tests: call `check_format`."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.model import Conversation
from memscope.conversation.readers import FORMATS, Reading
from memscope.conversation.readers.base import Format
from memscope.errors import InputError

UNKNOWN = (
    b'{"type": "of a kind that nobody knows", "payload": {"a": [1, null]}, "uuid": "new", "timestamp": 5}'
)
DAMAGED = (
    b"garbage",
    b"\0\0\0\0",
    b'{"type": "x", "content": }',
    b'{"type"',
    b'"\xff"',
    b"[1, 2",
    b"{}}",
    b"7",
)
Formats = Sequence[type[Format]]


def check_format(
    records: Sequence[bytes], *, inside: Sequence[str] = (), formats: Formats = FORMATS
) -> Conversation:
    """Check a format on `records`, valid lines without line ends, at least two; returns what they read as.

    `inside` are the fields that wrap a record's own, such as `payload`: unknown fields are put there too.
    """
    whole = read(lines(records), formats)
    assert not any("left out" in note for note in whole.source.notes), whole.source.notes
    assert read(b"\n".join(records), formats) == whole
    check_prefixes(records, formats)
    check_damaged_lines(records, formats)
    check_order(records, formats)
    check_portions(records, formats)
    check_unknown(records, inside, formats)
    return whole


def check_prefixes(records: Sequence[bytes], formats: Formats = FORMATS) -> None:
    """A file cut anywhere reads, or is refused in a sentence, and nothing but half a line is left out."""
    data = lines(records)

    @given(st.integers(0, len(data)))
    def check(length: int) -> None:
        found = read_or_refused(data[:length], formats)
        if found is not None and length > len(records[0]):
            notes = [note for note in found.source.notes if " left out: " in note]
            assert all("seems half written" in note for note in notes)
            assert len(notes) == (data[:length].rpartition(b"\n")[2] not in (b"", *records))

    check()


def check_damaged_lines(records: Sequence[bytes], formats: Formats = FORMATS) -> None:
    """A damaged line more is left out and noted; a damaged one instead of a record hides no other."""
    whole = read(lines(records), formats)

    @given(st.integers(0, len(records)), st.sampled_from(DAMAGED), st.booleans())
    def check(at: int, damaged: bytes, instead: bool) -> None:
        if instead:
            found = read_or_refused(lines([*records[:at], damaged, *records[at + 1 :]]), formats)
        else:
            found = read(lines([*records[:at], damaged, *records[at:]]), formats)
            assert found.entries == whole.entries
        if found is not None:
            assert any(note.startswith(f"line {at + 1} was left out: ") for note in found.source.notes)

    check()


def check_order(records: Sequence[bytes], formats: Formats = FORMATS) -> None:
    """Records in any order, some missing and some twice, read or are refused in a sentence."""

    @given(st.permutations(records), st.integers(0, len(records)), st.lists(st.sampled_from(records)))
    def check(shuffled: list[bytes], count: int, again: list[bytes]) -> None:
        read_or_refused(lines(shuffled), formats)
        read_or_refused(lines([*shuffled[:count], *again]), formats)

    check()


def check_portions(records: Sequence[bytes], formats: Formats = FORMATS) -> None:
    """Bytes in portions of any size, looked at in between, read like the whole file at once."""
    data = lines(records)
    whole = read(data, formats)

    @given(st.lists(st.integers(0, len(data)), max_size=8), st.booleans(), st.booleans())
    def check(cuts: list[int], ended: bool, looking: bool) -> None:
        edges = [0, *sorted(cuts), len(data) - (not ended)]
        portions = [data[start:end] for start, end in pairwise(edges)]
        assert read_in_portions(portions, formats, looking) == whole

    check()
    assert read_in_portions((data[at : at + 1] for at in range(len(data))), formats) == whole


def check_unknown(records: Sequence[bytes], inside: Sequence[str] = (), formats: Formats = FORMATS) -> None:
    """Unknown fields and records of unknown types change no entry."""
    whole = read(lines(records), formats)
    extended = [_with_unknown_fields(json.loads(record), inside) for record in records]
    assert read(lines(extended), formats).entries == whole.entries

    @given(st.integers(0, len(records)))
    def check(at: int) -> None:
        found = read(lines([*records[:at], UNKNOWN, *records[at:]]), formats)
        assert found.entries == whole.entries

    check()


def lines(records: Iterable[bytes]) -> bytes:
    """A file of these records."""
    return b"".join(record + b"\n" for record in records)


def read(data: bytes, formats: Formats = FORMATS) -> Conversation:
    """The conversation in a whole file called `log`."""
    return read_in_portions([data], formats)


def read_in_portions(
    portions: Iterable[bytes], formats: Formats = FORMATS, looking: bool = False
) -> Conversation:
    """The same, its bytes coming in portions; if `looking`, the conversation is asked for after each."""
    reading = Reading(formats, "log", "log")
    for portion in portions:
        reading.feed(portion)
        if looking:
            try:
                reading.conversation()
            except InputError as error:
                _assert_sentence(error)
    reading.finish()
    return reading.conversation()


def read_or_refused(data: bytes, formats: Formats = FORMATS) -> Conversation | None:
    """The conversation, None if it is refused in a sentence; anything else fails the test."""
    try:
        return read(data, formats)
    except InputError as error:
        _assert_sentence(error)
        return None


def _assert_sentence(error: InputError) -> None:
    assert str(error).startswith("log")
    assert str(error).endswith(".")
    assert "\n" not in str(error)


def _with_unknown_fields(record: dict[str, Any], inside: Sequence[str]) -> bytes:
    unknown: dict[str, Any] = {"a field nobody knows": {"role": 5, "content": [None], "type": {}}}
    for field in inside:
        if isinstance(record.get(field), dict):
            record[field] = {**unknown, **record[field]}
    return json.dumps({**unknown, **record}).encode()
