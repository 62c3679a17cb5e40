"""The heatmap's lines as strips of segments: a frozen gutter, a frozen header, cells in runs of equal codes.

Knows no widget and no app, so that every line can be looked at alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.strip import Strip

from memscope.scoring.matrix import CellState
from memscope.tui.safe import fit, one_line
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.bars import SPARKS, bar, spark_levels
from memscope.tui.wording import compact

CELL = 2
"""Characters a cell takes."""
HEADER = 2
"""Frozen lines at the top: response numbers, dependence."""
MARK_EVERY = 5
_WEIGHT = 6
_SHORTEST_KEY = 8
_KEY = 16
"""Cells of a key that are given up only in a narrow window, not to fit more columns."""


@dataclass(frozen=True, slots=True)
class Gutter:
    """Widths in cells of the frozen row headers: cursor mark, key, bar, weight, with spaces between."""

    key: int
    bar: int
    width: int


@dataclass(frozen=True, slots=True)
class Window:
    """What to draw: the widget's width in cells, the first visible column, and where the cursor is."""

    width: int
    first: int
    memory: int
    response: int


class HeatmapLines:
    """Draws the lines of one view with one palette, each cached under everything that affects it."""

    def __init__(self, view: MatrixView, palette: Palette) -> None:
        self._view = view
        self._palette = palette
        self._rows: LRUCache[tuple[object, ...], Strip] = LRUCache(1024)
        self._keys = tuple(one_line(key) for key in view.matrix.keys)
        self._longest = max(map(cell_len, self._keys), default=0)

    def gutter(self, width: int) -> Gutter:
        """The row headers' widths in a heatmap of `width` cells; what is left is an even number."""
        bar_width = 6 if width >= 70 else 4 if width >= 48 else 0
        fixed = 1 + 1 + (bar_width + 1 if bar_width else 0) + _WEIGHT + 1
        beside_all_columns = width - fixed - self._view.matrix.shape[1] * CELL
        room = min(width * 45 // 100 - fixed, max(_KEY, beside_all_columns))
        key = max(_SHORTEST_KEY, min(self._longest, room))
        odd = (width - fixed - key) % CELL
        return Gutter(key + odd, bar_width, fixed + key + odd)

    def columns(self, width: int) -> int:
        """How many columns fit."""
        return max(0, (width - self.gutter(width).width) // CELL)

    def marks(self, window: Window) -> Strip:
        """The first header line: the row order and the response numbers, always with the cursor's."""
        gutter, count = self.gutter(window.width), self._shown(window)
        length = count * CELL
        normal, cursor = self._palette.faint, self._palette.cursor
        own = f"r{window.response + 1}"
        own_at = (window.response - window.first) * CELL
        has_own = bool(self._view.matrix.responses) and 0 <= own_at < length
        own_at = max(0, min(own_at, length - len(own)))
        line = [" "] * length
        for number in range(window.first + 1, window.first + count + 1):
            if number != 1 and number % MARK_EVERY:
                continue
            label, at = f"r{number}", (number - 1 - window.first) * CELL
            collides = has_own and at <= own_at + len(own) and own_at <= at + len(label)
            if at + len(label) <= length and not collides:
                line[at : at + len(label)] = label
        title = fit(f" memories {self._view.row_order}", gutter.width)
        segments = [Segment(title, normal)]
        text = "".join(line)
        if has_own:
            segments += [
                Segment(text[:own_at], normal),
                Segment(own[:length], cursor),
                Segment(text[own_at + len(own) :], normal),
            ]
        else:
            segments.append(Segment(text, normal))
        return self._strip(segments, window.width)

    def sparkline(self, window: Window) -> Strip:
        """The second header line: each response's dependence, negative ones as a line above."""
        gutter, count = self.gutter(window.width), self._shown(window)
        dependence = self._view.dependence
        levels = spark_levels(dependence)[window.first : window.first + count]
        below = np.nan_to_num(dependence[window.first : window.first + count]) < 0
        segments = [Segment(" " * (gutter.width - 11) + "dependence ", self._palette.faint)]
        for start, end in _runs(np.where(below, 9, levels).astype(np.uint8)):
            if below[start]:
                segments.append(Segment("▔▔" * (end - start), self._palette.negative))
            else:
                segments.append(Segment(SPARKS[levels[start]] * CELL * (end - start), self._palette.positive))
        return self._strip(segments, window.width)

    def row(self, row: int, window: Window) -> Strip:
        """One memory: its key, weight and cells."""
        view = self._view
        memory = int(view.order[row])
        here = memory == window.memory
        key = (
            memory,
            int(view.versions[memory]),
            window.width,
            window.first,
            window.response if here else None,
            self._largest_weight,
        )
        strip = self._rows.get(key)
        if strip is None:
            strip = self._rows[key] = self._strip(
                [*self._row_header(memory, here, window.width), *self._cells(memory, here, window)],
                window.width,
            )
        return strip

    @property
    def _largest_weight(self) -> float:
        weights = np.abs(self._view.weights)
        return float(np.nanmax(weights)) if weights.size and not np.isnan(weights).all() else 0.0

    def _shown(self, window: Window) -> int:
        responses = self._view.matrix.shape[1]
        return max(0, min(self.columns(window.width), responses - window.first))

    def _row_header(self, memory: int, here: bool, width: int) -> list[Segment]:
        gutter, palette = self.gutter(width), self._palette
        weight = float(self._view.weights[memory])
        state = self._view.matrix.row_state(memory)
        name = palette.strong if here else palette.normal
        if state is CellState.FAILED:
            name = palette.error
        segments = [
            Segment(">" if here else " ", palette.accent),
            Segment(fit(self._keys[memory], gutter.key) + " ", name),
        ]
        if gutter.bar:
            drawn = "" if np.isnan(weight) else bar(weight, self._largest_weight, gutter.bar)
            colour = palette.negative if weight < 0 else palette.positive
            segments.append(Segment(drawn.ljust(gutter.bar + 1), colour))
        if np.isnan(weight):
            mark = "" if state is CellState.PENDING else palette.scale.texts[state].strip()
            segments.append(Segment(mark.rjust(_WEIGHT) + " ", palette.cells[state]))
        else:
            finished = state is CellState.SCORED
            segments.append(
                Segment(compact(weight).rjust(_WEIGHT) + " ", palette.normal if finished else palette.faint)
            )
        return segments

    def _cells(self, memory: int, here: bool, window: Window) -> list[Segment]:
        codes = self._view.codes[memory, window.first : window.first + self._shown(window)]
        at = window.response - window.first
        if not here or not 0 <= at < len(codes):
            return self._run_segments(codes)
        cursor = Segment("[]", self._palette.cursor)
        return [*self._run_segments(codes[:at]), cursor, *self._run_segments(codes[at + 1 :])]

    def _run_segments(self, codes: NDArray[np.uint8]) -> list[Segment]:
        texts, styles = self._palette.scale.texts, self._palette.cells
        return [
            Segment(texts[code] * (end - start), styles[code])
            for start, end in _runs(codes)
            for code in (int(codes[start]),)
        ]

    def _strip(self, segments: list[Segment], width: int) -> Strip:
        return Strip(segments).adjust_cell_length(width, self.blank)

    @property
    def blank(self) -> Style:
        """The style of what is empty."""
        return self._palette.cells[CellState.IMPOSSIBLE]


def _runs(codes: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """The half-open ranges of equal neighbours."""
    if not len(codes):
        return []
    edges = (np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist()
    return list(zip([0, *edges], [*edges, len(codes)], strict=True))
