"""JSON as it stands in a file: decoded, or refused with the place where it breaks; and written."""

import re
from typing import Any

import msgspec


class BrokenError(Exception):
    """Bytes that are not one JSON value: why, and the offset where they break."""

    def __init__(self, reason: str, byte: int) -> None:
        super().__init__(reason)
        self.byte = byte


def decode(data: bytes) -> Any:
    """The JSON value; raises BrokenError."""
    try:
        data.decode("utf-8")
        return msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        raise BrokenError(f"byte {error.start} is not UTF-8 text", error.start) from error
    except msgspec.DecodeError as error:
        # without a byte in the decoder's message the text broke off at its end
        byte = re.search(r"\(byte (\d+)\)", str(error))
        at = int(byte[1]) if byte else len(data.rstrip())
        raise BrokenError(f"not valid JSON ({error})", at) from error
    except RecursionError as error:
        raise BrokenError("the JSON is nested too deeply", len(data.rstrip())) from error


def is_object(data: bytes) -> bool:
    """Whether it is one whole JSON object; quick where it plainly is none."""
    return _is_whole(data, b"{", b"}")


def is_list(data: bytes) -> bool:
    """Whether it is one whole JSON list; quick where it plainly is none."""
    return _is_whole(data, b"[", b"]")


def _is_whole(data: bytes, opening: bytes, closing: bytes) -> bool:
    bare = data.strip()
    if not (bare.startswith(opening) and bare.endswith(closing)):
        return False
    try:
        decode(bare)
    except BrokenError:
        return False
    return True


def line_of(data: bytes, field: str | None, index: int) -> int:
    """The line on which item `index` of a JSON list begins, or of the list in a `field` of an object."""
    raw, position = msgspec.Raw(data), 0
    if field is not None:
        raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])[field]
        position = data.index(bytes(raw))
    start = position
    for item in msgspec.json.decode(raw, type=list[msgspec.Raw])[: index + 1]:
        start = data.index(bytes(item), position)
        position = start + len(bytes(item))
    return data[:start].count(b"\n") + 1


def as_json(value: Any) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()


def as_arguments(value: Any) -> str:
    """The arguments of a tool call as JSON text, which they may be already; those of a call without any are
    an empty object."""
    if isinstance(value, str):
        return value
    return "{}" if value is None else as_json(value)


def kind(value: Any) -> str:
    """What a decoded value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def sentence(error: Exception) -> str:
    """What is wrong with a value: msgspec says "Expected `str`, got `int` - at `$.content`", here the field
    is named first."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    problem, _, path = str(error).partition(" - at `$")
    if path:
        return f"field `{path.strip('.`')}`: {problem[0].lower()}{problem[1:]}"
    return problem[0].lower() + problem[1:]


def decoded(value: Any) -> Any:
    """A value that may be written as JSON text; text of another kind is left as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return decode(value.encode())
    except BrokenError:
        return value
