"""Chat messages in JSON or JSONL: the native log (a message a line) and OpenAI message lists.

The two differ in nothing but where the messages stand, so one reader takes both: a message a line, a list of
messages, or an object with `messages`.
"""

import re
from typing import Any

import msgspec

from memscope.conversation.model import Entry
from memscope.conversation.readers.chat import read_message
from memscope.errors import InputError

NATIVE = "native"
OPENAI = "openai"


class _BrokenError(Exception):
    """Bytes that are not one JSON value: why, and the offset where they break."""

    def __init__(self, reason: str, byte: int) -> None:
        super().__init__(reason)
        self.byte = byte


def read_messages(data: bytes) -> tuple[list[Entry], str, list[str]]:
    """The entries, the format's name, and notes on what was left out.

    Raises InputError, the sentence beginning with the line and the field where it broke.
    """
    try:
        document = _decode(data)
    except _BrokenError as error:
        if not _holds_lines(data):
            line = data[: error.byte].count(b"\n") + 1
            raise InputError(f"Line {line}: {error}.") from error
        return _read_lines(data)
    return *_read_document(document, data), []


def _read_document(document: Any, data: bytes) -> tuple[list[Entry], str]:
    """One JSON value: a list of messages, an object with `messages`, or a single message."""
    if isinstance(document, dict) and "role" in document:
        return [read_message(document, "Line 1")], _format([document])
    messages, name = document, "message"
    if isinstance(document, dict):
        if "messages" not in document:
            raise InputError("Line 1: the object has neither `role` nor `messages`.")
        messages, name = document["messages"], "messages"
        if not isinstance(messages, list):
            raise InputError(f"Line 1: field `messages` is {_kind(messages)}; it must be a list of messages.")
    if not isinstance(messages, list):
        raise InputError(f"Line 1: expected a list of messages, found {_kind(messages)}.")
    entries = []
    for index, message in enumerate(messages):
        try:
            entries.append(read_message(message, f"{name}[{index}]"))
        except InputError as error:
            raise InputError(f"Line {_line_of(index, data)}, {error}") from error
    return entries, OPENAI


def _read_lines(data: bytes) -> tuple[list[Entry], str, list[str]]:
    """A message, or an object with `messages`, on each line. A last line without its end may be half one."""
    entries: list[Entry] = []
    messages: list[dict[str, Any]] = []
    notes: list[str] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            message = _decode(line)
        except _BrokenError as error:
            if number < len(lines) or not entries:
                raise InputError(f"Line {number}: {error}.") from error
            notes.append(f"line {number} seems half written and was left out: {error}")
            break
        if not isinstance(message, dict):
            raise InputError(f"Line {number}: expected a message, found {_kind(message)}.")
        if "role" not in message and "messages" in message:
            raise InputError(
                f"Line {number}: a whole conversation on one line among others; "
                "put each conversation into a file of its own."
            )
        entries.append(read_message(message, f"Line {number}"))
        messages.append(message)
    return entries, _format(messages), notes


def _decode(data: bytes) -> Any:
    """The JSON value; raises _BrokenError."""
    try:
        data.decode("utf-8")
        return msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        raise _BrokenError(f"byte {error.start} is not UTF-8 text", error.start) from error
    except msgspec.DecodeError as error:
        # without a byte in the decoder's message the text broke off at its end
        byte = re.search(r"\(byte (\d+)\)", str(error))
        raise _BrokenError(
            f"not valid JSON ({error})", int(byte[1]) if byte else len(data.rstrip())
        ) from error
    except RecursionError as error:
        raise _BrokenError("the JSON is nested too deeply", len(data.rstrip())) from error


def _holds_lines(data: bytes) -> bool:
    """Whether the text, not one JSON value itself, has an object on its first or its second line."""
    for line in data.lstrip().split(b"\n", 2)[:2]:
        try:
            if isinstance(_decode(line), dict):
                return True
        except _BrokenError:
            pass
    return False


def _line_of(index: int, data: bytes) -> int:
    """The line on which message `index` of a JSON document begins."""
    position = 0
    try:
        messages = msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        messages = msgspec.json.decode(fields["messages"], type=list[msgspec.Raw])
        position = data.index(bytes(fields["messages"]))
    for message in messages[: index + 1]:
        start = data.index(bytes(message), position)
        position = start + len(bytes(message))
    return data[:start].count(b"\n") + 1


def _format(messages: list[dict[str, Any]]) -> str:
    """What is written a message a line is a native log if it has the native log's own fields."""
    native = any("memory_key" in message or "timestamp" in message for message in messages)
    return NATIVE if native else OPENAI


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
