"""A response's text, each token coloured by how much less probable it is without the chosen memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from memscope.scoring.matrix import CellState
from memscope.tui.safe import printable
from memscope.tui.theme import FIRST_LEVEL, SHADES, Palette
from memscope.tui.widgets.strips import WORD, StripView, strip, wrap

_LEAST = 0.05
"""Nats of one token that are drawn as nothing."""
_LEAST_EXTENT = 1.0


class TokenText(StripView):
    """Wraps tokens to its width; `token` is the one under the token cursor, None where there are none."""

    DEFAULT_CSS = """
    TokenText {
        padding: 0 1;
    }
    """

    @dataclass
    class Moved(Message):
        """Another token is under the cursor."""

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette = palette
        self.token: int | None = None
        self._chosen_by_user = False
        self._text = ""
        self._starts: NDArray[np.intp] = np.zeros(1, np.intp)
        self._codes: list[int] = []
        self._lines: list[tuple[int, int]] = []

    def show_plain(self, text: str) -> None:
        """Show printable text without tokens or colours."""
        self.token, self._chosen_by_user = None, False
        self._set([text], [SHADES.zero])

    def show_tokens(self, tokens: Sequence[str], drops: NDArray[np.float32] | None) -> None:
        """Show tokens coloured by `drops` [t] in nats, or uncoloured.

        Until the user chooses one, the cursor is on the token that changed most.
        """
        if not tokens:
            self.show_plain("")
            return
        pieces = [printable(token) for token in tokens]
        if drops is None:
            codes = [SHADES.zero] * len(pieces)
        else:
            values = drops.astype(np.float64)
            extent = max(_LEAST_EXTENT, math.ceil(float(np.abs(values).max())))
            scored = np.full(len(values), CellState.SCORED, np.uint8)
            noise = np.zeros(len(values), np.bool_)
            codes = SHADES.codes(values, scored, extent, noise, _LEAST).tolist()
            if not self._chosen_by_user:
                self.token = int(np.abs(values).argmax())
        if self.token is None or self.token >= len(pieces):
            self.token = 0
        self._set(pieces, codes)

    @property
    def coloured_words(self) -> frozenset[str]:
        """The words, in lower case, of which any token is coloured."""
        return frozenset(
            word.group().casefold()
            for word in WORD.finditer(self._text)
            if any(
                code != SHADES.zero
                for code in self._codes[self._token_at(word.start()) : self._token_at(word.end() - 1) + 1]
            )
        )

    def on_resize(self) -> None:
        """Keep the token cursor in sight."""
        super().on_resize()
        self._show_token()

    def forget_choice(self) -> None:
        """Let the cursor find the token that changed most again."""
        self._chosen_by_user = False

    def step(self, right: int) -> None:
        """Move the token cursor."""
        if self.token is not None:
            self._choose(max(0, min(self.token + right, len(self._codes) - 1)))

    def on_click(self, event: events.Click) -> None:
        """Choose the token clicked."""
        offset = event.get_content_offset(self)
        if offset is None or self.token is None or offset.y + self.scroll_offset.y >= len(self._lines):
            return
        start, end = self._lines[offset.y + self.scroll_offset.y]
        used, at = 0, start
        while at < end - 1 and used + cell_len(self._text[at]) <= offset.x:
            used += cell_len(self._text[at])
            at += 1
        self._choose(self._token_at(at))

    def build(self, width: int, height: int) -> list[Strip]:
        """The wrapped lines, a segment for each token or part of one."""
        self._lines = wrap(self._text, width)
        blank = self.palette.normal
        return [strip(self._segments(start, end), width, blank) for start, end in self._lines]

    def _segments(self, start: int, end: int) -> list[Segment]:
        segments = []
        while start < end:
            token = self._token_at(start)
            stop = min(end, int(self._starts[token + 1]))
            style = self.palette.tokens[self._codes[token] - FIRST_LEVEL]
            if token == self.token:
                style = self.palette.cursor
            segments.append(Segment(self._text[start:stop], style))
            start = stop
        return segments

    def _token_at(self, character: int) -> int:
        return int(np.searchsorted(self._starts, character, side="right")) - 1

    def _set(self, pieces: list[str], codes: list[int]) -> None:
        self._text = "".join(pieces)
        self._starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.intp)
        self._codes = codes
        self.rebuild()
        self._show_token()

    def _choose(self, token: int) -> None:
        self._chosen_by_user = True
        if token != self.token:
            self.token = token
            self.rebuild()
            self._show_token()
            self.post_message(self.Moved())

    def _show_token(self) -> None:
        if self.token is not None and self._lines and self.size.height:
            at = int(self._starts[self.token])
            line = next((n for n, (_, end) in enumerate(self._lines) if at < end), len(self._lines) - 1)
            self.scroll_line_into_view(line)
