"""The texts of a conversation's entries wrapped to a width: their lines, and about how many those are."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from memscope.tui.transcript.contents import Contents
from memscope.tui.transcript.nodes import HEAD, Kind, Part
from memscope.tui.transcript.texts import introduction, text_of
from memscope.tui.widgets.strips import wrap

PART_INDENT = 4
"""Cells by which the text of thinking and tool calls stands further to the right than an entry's own."""


class WrappedTexts:
    """Of one conversation at a time; what was wrapped last is kept."""

    def __init__(self, contents: Contents, width: int) -> None:
        """`width` is that of an entry's text, in cells."""
        self.width = width
        self._contents = contents
        self._wrapped = lru_cache(512)(self._wrap)
        self._sizes: NDArray[np.int64] = np.zeros((0, 2), np.int64)
        """Characters and line ends of the entries whose height was guessed."""

    def adopt(self, contents: Contents, same: int) -> None:
        """The conversation has become another one, of which the first `same` entries are as they were."""
        if same < len(self._contents.entries):
            self._wrapped.cache_clear()
        self._contents = contents
        self._sizes = self._sizes[:same]

    def set_width(self, width: int) -> None:
        """Wrap to so many cells."""
        self.width = width
        self._wrapped.cache_clear()

    def text(self, entry: int, part: Part) -> tuple[str, list[tuple[int, int]]]:
        """The whole printable text of a node, and the range of each of its lines."""
        return self._wrapped(entry, part)

    def head_height(self, entry: int) -> int:
        """Lines that an entry's own text takes."""
        lines = self.text(entry, HEAD)[1]
        introduced = bool(introduction(self._contents.entries[entry]))
        return introduced + (0 if introduced and lines == [(0, 0)] else len(lines))

    def has_more(self, entry: int) -> bool:
        """Whether an entry has more to say than its first line."""
        found = self._contents.entries[entry]
        if self._contents.parts[entry]:
            return True
        said = found.text.strip()
        if introduction(found):
            return bool(said)
        return "\n" in said or len(said) > self.width or cell_len(said) > self.width

    def guess(self) -> NDArray[np.int64]:
        """About how many lines each entry's own text takes [entries], thinking and calls included."""
        new = self._contents.entries[len(self._sizes) :]
        sizes = np.array([(len(entry.text), entry.text.count("\n")) for entry in new], np.int64)
        self._sizes = np.concatenate([self._sizes, sizes.reshape(-1, 2)])
        return 1 + self._sizes[:, 0] // self.width + self._sizes[:, 1] + self._contents.parts

    def _wrap(self, entry: int, part: Part) -> tuple[str, list[tuple[int, int]]]:
        text = text_of(self._contents.entries[entry], part)
        width = self.width if part.kind is Kind.ENTRY else self.width - PART_INDENT
        return text, wrap(text, width)
