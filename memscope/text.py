"""Untrusted text made fit for a terminal: no escape, no control character, no hidden reordering."""

import unicodedata

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


def fit(text: str, width: int) -> str:
    """One line of `text` in exactly `width` terminal cells: filled with spaces, or cut with an ellipsis."""
    line, used = [], 0
    text = one_line(text)
    for at, character in enumerate(text):
        cells = _cells(character)
        room = width - used - (at + 1 < len(text))
        if cells > room:
            line.append(ELLIPSIS[: width - used])
            used += len(line[-1])
            break
        line.append(character)
        used += cells
    return "".join(line) + " " * (width - used)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or character in _ZERO_WIDTH_JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
