"""Untrusted text made fit for a terminal: no escape, no control, no hidden reordering, cut by cells."""

import unicodedata

from rich.cells import cell_len, set_cell_size

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


def one_line(text: str, width: int | None = None) -> str:
    """`printable` text with every run of white space as one space, cut to `width` cells if given."""
    line = " ".join(printable(text).split())
    return line if width is None else cut(line, width)


def cut(text: str, width: int) -> str:
    """At most `width` cells of `text`, an ellipsis where some was left out."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def fit(text: str, width: int) -> str:
    """Exactly `width` cells of `text`: cut, or filled with spaces."""
    return set_cell_size(cut(text, width), max(0, width))
