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


def read_messages(data: bytes) -> tuple[list[Entry], str, list[str]]:
    """The entries, the format's name, and notes on what was left out.

    Raises InputError, the sentence beginning with the line and the field where it broke.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"Line {line}: byte {error.start} of the file is not UTF-8 text.") from error
    document, problem = _decode(data)
    if problem is None and not _is_message(document):
        return *_read_document(document), []
    if problem is not None and not _holds_lines(data):
        raise InputError(f"Line {_line_of(problem, data)}: {problem}.")
    return _read_lines(data)


def _read_document(document: Any) -> tuple[list[Entry], str]:
    """One JSON value: a list of messages, or an object with `messages`."""
    messages, name = document, "message"
    if isinstance(document, dict):
        if "messages" not in document:
            raise InputError("Line 1: the object has neither `role` nor `messages`.")
        messages, name = document["messages"], "messages"
    if not isinstance(messages, list):
        raise InputError(f"Line 1: expected a list of messages, found {_kind(messages)}.")
    return [read_message(message, f"{name}[{index}]") for index, message in enumerate(messages)], OPENAI


def _read_lines(data: bytes) -> tuple[list[Entry], str, list[str]]:
    """A message, or an object with `messages`, on each line. A last line without its end may be half one."""
    entries: list[Entry] = []
    native = False
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        message, problem = _decode(line)
        if problem is not None:
            if number == len(lines) and number > 1:
                return entries, _name(native), [f"line {number} is only half written and was left out"]
            raise InputError(f"Line {number}: {problem}.")
        if isinstance(message, dict) and "role" not in message and "messages" in message:
            if any(other.strip() for other in lines[number:]) or entries:
                raise InputError(
                    f"Line {number}: a whole conversation on one line among others; "
                    "put each conversation into a file of its own."
                )
            return *_read_document(message), []
        if not isinstance(message, dict):
            raise InputError(f"Line {number}: expected a message, found {_kind(message)}.")
        native = native or "memory_key" in message or "timestamp" in message
        entries.append(read_message(message, f"Line {number}"))
    return entries, _name(native), []


def _decode(data: bytes) -> tuple[Any, str | None]:
    """The JSON value, or why there is none."""
    try:
        return msgspec.json.decode(data), None
    except msgspec.DecodeError as error:
        return None, f"not valid JSON ({error})"
    except RecursionError:
        return None, "the JSON is nested too deeply"


def _holds_lines(data: bytes) -> bool:
    """Whether the text, not one JSON value itself, has an object on its first or its second line."""
    return any(isinstance(_decode(line)[0], dict) for line in data.lstrip().split(b"\n", 2)[:2])


def _line_of(problem: str, data: bytes) -> int:
    """The line of the byte that a decoder's message names; without one the text broke off at its end."""
    byte = re.search(r"\(byte (\d+)\)", problem)
    return data[: int(byte[1]) if byte else len(data.rstrip())].count(b"\n") + 1


def _is_message(document: Any) -> bool:
    return isinstance(document, dict) and "role" in document


def _name(native: bool) -> str:
    return NATIVE if native else OPENAI


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
