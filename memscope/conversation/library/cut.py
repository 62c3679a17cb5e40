"""JSON that was cut off: made whole again as far as it goes."""

import re

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|"', re.DOTALL)
_TEXT = re.compile(
    rb'"(?:[^"\\]++|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB]..\\u[0-9a-fA-F]{4})*+', re.DOTALL
)
"""The longest part of a text that ends with a whole character, as far as escapes go."""
_DEEP = 200
_CLOSING = {b"{": b"}", b"[": b"]"}


def completed(data: bytes) -> bytes:
    """The beginning of a JSON value with what is open closed; half a key, number or word is left out, half a
    text is kept. What is no JSON stays as it is, or becomes some that is not."""
    closing, before = b"", b""
    end, whole = 0, b""  # where the last value or bracket ended, and what closes all that was open there
    for token in _TOKEN.finditer(data):
        sign = token[0]
        if sign in _CLOSING:
            closing = _CLOSING[sign] + closing
            if len(closing) > _DEEP:
                break
            end, whole = token.end(), closing
        elif sign in (b"}", b"]"):
            closing = closing[1:]
            end, whole = token.end(), closing
            if not closing:
                break
        elif sign == b",":
            end, whole = token.start(), closing
        elif sign == b'"':  # not closed
            if before == b":" or (closing.startswith(b"]") and before in (b"[", b",")):
                return data[: token.start()] + _kept(data, token.start()) + b'"' + closing
            break
        before = sign
    return data[:end] + whole


def _kept(data: bytes, start: int) -> bytes:
    """The text that begins at `start`, without half a character at its end."""
    text = _TEXT.match(data, start)
    return b"" if text is None else text[0].decode("utf-8", "ignore").encode()
