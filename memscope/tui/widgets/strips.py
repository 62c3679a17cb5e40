"""Lines of text as strips: how every text of a conversation is drawn, never as markup."""

import re
from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

WORD = re.compile(r"\w{3,}")
"""A word that says something by itself."""
_WORD = re.compile(r"\S+[^\S\n]*|[^\S\n]+")


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Half-open character ranges of `text`, each one line of at most `width` cells, broken between words.

    Newlines and the spaces at a break belong to no line. `text` must be printable.
    """
    width = max(1, width)
    lines: list[tuple[int, int]] = []
    offset = 0
    for paragraph in text.split("\n"):
        # In ASCII a character is a cell, which makes a large log twenty times as fast to wrap.
        wrapped = _wrap_ascii if paragraph.isascii() else _wrap_words
        lines += [(offset + start, offset + end) for start, end in wrapped(paragraph, width)]
        offset += len(paragraph) + 1
    return lines


def text_strips(text: str, width: int, style: Style, *, most: int | None = None) -> list[Strip]:
    """Printable `text` wrapped to `width`; beyond `most` lines it ends in an ellipsis."""
    lines = [text[start:end] for start, end in wrap(text, width)]
    if most is not None and len(lines) > most:
        lines = lines[: max(0, most)]
        if lines:
            last = lines[-1].rstrip()
            lines[-1] = (last if cell_len(last) < width else last[: _prefix(last, width - 1)]) + "…"
    return [strip([Segment(line, style)], width, style) for line in lines]


def strip(segments: Iterable[Segment], width: int, blank: Style) -> Strip:
    """Segments cut or filled to exactly `width` cells; neighbours of one style are one, for each segment
    takes some forty bytes on its way to the terminal."""
    return Strip(segments).adjust_cell_length(width, blank).simplify()


def inner_size(view: ScrollView) -> Size:
    """The cells of a view that no scrollbar covers, which its `size` includes."""
    return view.size - (view.scrollbar_size_vertical, view.scrollbar_size_horizontal)


class StripView(ScrollView, can_focus=False, inherit_bindings=False):
    """Lines that a subclass makes for its width; they scroll if they are more than fit."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    StripView {
        background: $background;
        scrollbar-size: 1 1;
        overflow-x: hidden;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._strips: list[Strip] = []

    def build(self, width: int, height: int) -> list[Strip]:
        """The lines for a widget of this size, each exactly `width` cells."""
        raise NotImplementedError

    def rebuild(self) -> None:
        """Make the lines again and draw them if they differ."""
        width, height = inner_size(self)
        strips = self.build(width, height) if width else []
        before, self._strips = self._strips, strips
        if len(strips) != len(before):
            self.virtual_size = Size(width, len(strips))
            self.refresh()
            return
        top = self.scroll_offset.y
        in_sight = range(top, min(top + height, len(strips)))
        changed = [Region(0, at - top, width, 1) for at in in_sight if strips[at] != before[at]]
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        """Fit the lines to the new size."""
        self.rebuild()

    def watch_show_vertical_scrollbar(self) -> None:
        """A scrollbar that comes or goes changes the width, without a resize."""
        self.on_resize()

    def render_line(self, y: int) -> Strip:
        """One line of the viewport, at `y` from its top."""
        line = y + self.scroll_offset.y
        if line < len(self._strips):
            return self._strips[line]
        return Strip.blank(self.size.width, self.rich_style)

    def scroll_line_into_view(self, line: int) -> None:
        """Scroll as little as shows a line."""
        top, height = self.scroll_offset.y, max(1, inner_size(self).height)
        self.scroll_to(y=min(max(top, line - height + 1), line), animate=False)


def _wrap_ascii(paragraph: str, width: int) -> list[tuple[int, int]]:
    """The ranges of a paragraph's lines, found by looking for the last space that fits."""
    end = len(paragraph.rstrip())
    start, lines = 0, []
    while end - start > width:
        space = paragraph.rfind(" ", start, start + width + 1)
        if space < 0:
            lines.append((start, start + width))
            start += width
        else:
            lines.append((start, _without_trailing_space(paragraph, start, space)))
            start = space + 1
            while paragraph[start] == " ":
                start += 1
    lines.append((start, end))
    return lines


def _wrap_words(paragraph: str, width: int) -> list[tuple[int, int]]:
    """The ranges of a paragraph's lines, word by word, each measured in cells."""
    start, used, lines = 0, 0, []
    for match in _WORD.finditer(paragraph):
        begin, word = match.start(), match.group()
        bare = cell_len(word.rstrip())
        if used and used + bare > width:
            lines.append((start, _without_trailing_space(paragraph, start, begin)))
            start, used = begin, 0
        while bare > width:
            fitting = _prefix(word, width)
            lines.append((begin, begin + fitting))
            begin, word = begin + fitting, word[fitting:]
            start, bare = begin, cell_len(word.rstrip())
        used += cell_len(word)
    lines.append((start, _without_trailing_space(paragraph, start, len(paragraph))))
    return lines


def _without_trailing_space(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _prefix(word: str, width: int) -> int:
    """How many characters of `word` fit into `width` cells, at least one."""
    used = 0
    for index, character in enumerate(word):
        used += cell_len(character)
        if used > width:
            return max(1, index)
    return len(word)
