"""Untrusted text made fit for a terminal: no escape, no control character, no hidden reordering."""

import unicodedata
from bisect import bisect_right
from itertools import accumulate

ELLIPSIS = "…"
_ZERO_WIDTH_JOINERS = "\u200c\u200d"


class _Visible(dict[int, str]):
    """Code point -> what to draw for it, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        self[code] = drawn = _drawn(chr(code))
        return drawn


def _drawn(character: str) -> str:
    category = unicodedata.category(character)
    code = ord(character)
    if character == "\n" or character in _ZERO_WIDTH_JOINERS:
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if category in ("Cc", "Cf", "Zl", "Zp"):
        return f"⟨U+{code:04X}⟩"
    if category in ("Cs", "Cn"):
        return "\ufffd"
    if category == "Zs":
        return " "
    return character


_VISIBLE = _Visible()


def printable(text: str) -> str:
    """`text` with line ends as newlines, tabs as spaces, and everything a terminal would obey made visible.

    Escapes, C0 and C1 controls, bidirectional overrides, invisible format characters, lone surrogates.
    """
    if text.isprintable():
        return text
    return text.replace("\r\n", "\n").expandtabs(4).translate(_VISIBLE)


def one_line(text: str) -> str:
    """`printable` text with every run of white space as one space."""
    return " ".join(printable(text).split())


def cells(text: str) -> int:
    """How many terminal cells a line of printable text takes."""
    return sum(map(_cells_of, text))


def fit(text: str, width: int) -> str:
    """One line of `text` in exactly `width` (> 0) terminal cells: filled with spaces, or cut."""
    text = one_line(text)
    ends = list(accumulate(map(_cells_of, text), initial=0))
    if ends[-1] > width:
        kept = bisect_right(ends, width - 1) - 1
        text, ends = text[:kept] + ELLIPSIS, [ends[kept] + 1]
    return text + " " * (width - ends[-1])


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me") or character in _ZERO_WIDTH_JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
