"""Printable text cut and filled by cells, as the screen measures them."""

from rich.cells import cell_len, set_cell_size

from memscope.text import ELLIPSIS, one_line, printable

__all__ = ["cut", "fit", "one_line", "printable"]


def cut(text: str, width: int) -> str:
    """At most `width` cells of printable `text`, an ellipsis where some was left out."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def fit(text: str, width: int) -> str:
    """Exactly `width` cells of printable `text`: cut, or filled with spaces."""
    return set_cell_size(cut(text, width), max(0, width))
