"""JSON that was cut off: made whole again as far as it goes."""

import re

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|"', re.DOTALL)
_DEEP = 200
_HALF_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_CLOSING = {b"{": b"}", b"[": b"]"}


def completed(data: bytes) -> bytes:
    """The beginning of a JSON value with what is open closed; half a key, number or word is left out, half a
    text is kept. What is no JSON stays as it is, or becomes some that is not."""
    closing, end, before = b"", 0, b""  # `before` is the sign that the next value or key follows
    whole = b""  # what closes everything that is open at `end`
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
                return _whole_text(data[: token.start()], data[token.start() :]) + closing
            break
        before = sign
    return data[:end] + whole


def _whole_text(before: bytes, text: bytes) -> bytes:
    text = _without_half_escape(text).decode("utf-8", "ignore").encode()
    return before + text + b'"'


def _without_half_escape(text: bytes) -> bytes:
    half = _HALF_ESCAPE.search(text, max(0, len(text) - 6))
    if half is None:
        return text
    # an even number of backslashes in front escape each other
    run = len(text[: half.start()]) - len(text[: half.start()].rstrip(b"\\"))
    return text if run % 2 else text[: half.start()]
