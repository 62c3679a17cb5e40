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
from memscope.tui.arrangement import ColumnOrder, Normalisation, Zoom
from memscope.tui.safe import fit, one_line
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.bars import SPARKS, bar, spark_levels
from memscope.tui.widgets.strips import strip
from memscope.tui.wording import compact, number

HEADER = 2
"""Frozen lines at the top: response numbers, dependence."""
_CELL = {Zoom.OVERVIEW: 1, Zoom.FINE: 1, Zoom.NORMAL: 2, Zoom.NUMBERS: 7}
"""Characters a cell takes."""
_MARK_EVERY = {Zoom.OVERVIEW: 10, Zoom.FINE: 10, Zoom.NORMAL: 5, Zoom.NUMBERS: 1}
"""Of so many columns one has its number in the header."""
_WEIGHT = 6
_SHORTEST_KEY = 8
_KEY = 16
"""Cells of a key that are given up only in a narrow window, not to fit more columns."""
_STATES_FIRST = (CellState.FAILED, CellState.RUNNING, CellState.PENDING)
"""As which of its states a cell is drawn that stands for several, none of them scored."""
_CURSOR = {1: "▮", 2: "[]"}


@dataclass(frozen=True, slots=True)
class Gutter:
    """Widths in cells of the frozen row headers: marks, key, bar, weight, with spaces between."""

    key: int
    bar: int
    width: int


@dataclass(frozen=True, slots=True)
class Window:
    """What to draw: the widget's width in cells, the first visible column of cells, and where the cursor is:
    a row of the view and a response."""

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
        self._named: tuple[str, ...] | None = None
        self._name_rows()

    def _name_rows(self) -> None:
        """Make the rows' names printable; sets come and go."""
        if self._named is not self._view.keys:
            self._named = self._view.keys
            self._keys = tuple(map(one_line, self._named))
            self._longest = max(map(cell_len, self._keys), default=0)

    @property
    def cell(self) -> int:
        """Characters a cell takes."""
        return _CELL[self._view.zoom]

    def gutter(self, width: int) -> Gutter:
        """The row headers' widths in a heatmap of `width` cells; what is left is a whole number of cells,
        unless those are numbers."""
        self._name_rows()
        bar_width = 6 if width >= 70 else 4 if width >= 48 else 0
        fixed = 2 + 1 + (bar_width + 1 if bar_width else 0) + _WEIGHT + 1
        beside_all_columns = width - fixed - self._view.matrix.shape[1] * min(self.cell, 2)
        room = min(width * 45 // 100 - fixed, max(_KEY, beside_all_columns))
        key = max(_SHORTEST_KEY, min(self._longest, room))
        odd = (width - fixed - key) % 2
        return Gutter(key + odd, bar_width, fixed + key + odd)

    def columns(self, width: int) -> int:
        """How many cells of a row fit."""
        return max(0, (width - self.gutter(width).width) // self.cell)

    def pool(self, width: int) -> int:
        """How many responses one cell stands for: more than one only if all are to fit."""
        responses = self._view.matrix.shape[1]
        if self._view.zoom is not Zoom.OVERVIEW:
            return 1
        return max(1, -(-responses // max(1, self.columns(width))))

    def cells(self, width: int) -> int:
        """How many cells a whole row has."""
        return -(-self._view.matrix.shape[1] // self.pool(width))

    def place(self, response: int, width: int) -> int:
        """The column of cells that a response stands in."""
        return int(self._view.column_of[response]) // self.pool(width)

    def responses(self, column: int, width: int) -> NDArray[np.intp]:
        """The responses that a column of cells stands for."""
        pool = self.pool(width)
        return self._view.columns[column * pool : (column + 1) * pool]

    def marks(self, window: Window) -> Strip:
        """The first header line: the row order and the response numbers, always with the cursor's."""
        gutter, cell = self.gutter(window.width), self.cell
        length = self._shown(window) * cell
        normal, cursor = self._palette.faint, self._palette.cursor
        own = f"r{window.response + 1}"
        has_own = window.response < len(self._view.column_of)
        own_at = (self.place(window.response, window.width) - window.first) * cell if has_own else 0
        has_own = has_own and 0 <= own_at < length
        own_at = max(0, min(own_at, length - len(own)))
        line, free = [" "] * length, 0
        for column in range(window.first, window.first + self._shown(window)):
            first = int(self.responses(column, window.width)[0]) + 1
            if not self._is_marked(column, first):
                continue
            label, at = f"r{first}", (column - window.first) * cell
            collides = has_own and at <= own_at + len(own) and own_at <= at + len(label)
            if free <= at <= length - len(label) and not collides:
                line[at : at + len(label)] = label
                free = at + len(label) + 1
        segments = [Segment(fit(f" memories {self._view.row_order}", gutter.width), normal)]
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
        """The second header line: each response's dependence, negative ones as a line above; of several in
        one cell the largest size."""
        gutter = self.gutter(window.width)
        dependence = self._pooled(self._view.dependence[self._view.columns], window)
        most = self._view.dependence
        levels = spark_levels(np.append(dependence, np.nanmax(most) if not np.isnan(most).all() else np.nan))
        below = np.nan_to_num(dependence) < 0
        segments = [Segment(" " * (gutter.width - 11) + "dependence ", self._palette.faint)]
        if self._view.zoom is Zoom.NUMBERS:
            texts = ["" if np.isnan(value) else compact(value) for value in dependence.tolist()]
            segments += [Segment(f"{text:>5}  ", self._palette.faint) for text in texts]
            return self._strip(segments, window.width)
        for start, end in _runs(np.where(below, 9, levels[:-1]).astype(np.uint8)):
            mark = "▔" if below[start] else SPARKS[levels[start]]
            colour = self._palette.negative if below[start] else self._palette.positive
            segments.append(Segment(mark * self.cell * (end - start), colour))
        return self._strip(segments, window.width)

    def row(self, row: int, window: Window) -> Strip:
        """One row of the view, at `row` from the top: its key, weight and cells."""
        view = self._view
        memory = int(view.order[row])
        here = memory == window.memory
        key = (
            memory,
            int(view.versions[memory]),
            view.version,
            view.zoom,
            window.width,
            window.first,
            window.response if here else None,
            self._largest_weight,
        )
        line = self._rows.get(key)
        if line is None:
            line = self._rows[key] = self._strip(
                [*self._row_header(memory, here, window.width), *self._cells(memory, here, window)],
                window.width,
            )
        return line

    @property
    def blank(self) -> Style:
        """The style of what is empty."""
        return self._palette.cells[CellState.IMPOSSIBLE]

    @property
    def _largest_weight(self) -> float:
        weights = np.abs(self._view.weights)
        return float(np.nanmax(weights)) if weights.size and not np.isnan(weights).all() else 0.0

    def _is_marked(self, column: int, number: int) -> bool:
        every = _MARK_EVERY[self._view.zoom]
        if self._view.zoom is Zoom.OVERVIEW or self._view.column_order is not ColumnOrder.TIME:
            return column % every == 0
        return number == 1 or number % every == 0

    def _shown(self, window: Window) -> int:
        return max(0, min(self.columns(window.width), self.cells(window.width) - window.first))

    def _row_header(self, memory: int, here: bool, width: int) -> list[Segment]:
        gutter, palette, view = self.gutter(width), self._palette, self._view
        weight = float(view.weights[memory])
        state = view.row_state(memory)
        name = palette.strong if here else palette.normal
        if state is CellState.FAILED:
            name = palette.error
        segments = [
            Segment((">" if here else " ") + self._mark(memory), palette.accent),
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

    def _mark(self, memory: int) -> str:
        """`+` for a set, `*` for a marked memory, `^` for one that stays on top."""
        if self._view.is_set(memory):
            return "+"
        key = self._view.keys[memory]
        return "*" if key in self._view.marked else "^" if key in self._view.pinned else " "

    def _cells(self, memory: int, here: bool, window: Window) -> list[Segment]:
        codes, values = self._pooled_cells(memory, window)
        at = self.place(window.response, window.width) - window.first if here else -1
        if self._view.zoom is Zoom.NUMBERS:
            return [
                self._number(int(code), value, cursor=column == at)
                for column, (code, value) in enumerate(zip(codes, values.tolist(), strict=True))
            ]
        if not 0 <= at < len(codes):
            return self._run_segments(codes)
        cursor = Segment(_CURSOR[self.cell], self._palette.cursor)
        return [*self._run_segments(codes[:at]), cursor, *self._run_segments(codes[at + 1 :])]

    def _number(self, code: int, value: float, *, cursor: bool) -> Segment:
        style = self._palette.cursor if cursor else self._palette.numbers[code]
        if np.isnan(value) or number(value)[1:] == "0.00":
            return Segment(f"{self._palette.scale.texts[code].strip():>5}  ", style)
        unit = "%" if self._view.normalisation is Normalisation.SHARE else ""
        noisy = "~" if code == self._palette.scale.noise else ""
        return Segment(f"{number(value):>5}{unit + noisy:<2}", style)

    def _pooled_cells(self, memory: int, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Codes and numbers of a row's cells in the window; one that stands for several responses is the
        largest of them by size, whatever its sign."""
        pool = self.pool(window.width)
        columns = self._view.columns[window.first * pool : (window.first + self._shown(window)) * pool]
        codes, values = self._view.codes(memory, columns), self._view.shown(memory, columns)
        if pool == 1 or not len(columns):
            return codes, values
        strength = self._strength(codes, values)
        starts = np.arange(0, len(columns), pool)
        best = np.array(
            [
                start + int(sizes.argmax())
                for start in starts.tolist()
                for sizes in (strength[start : start + pool],)
            ]
        )
        return codes[best], values[best]

    def _strength(self, codes: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is drawn of several cells: the largest number, then, if none matters, what has no number yet,
        so that nothing unscored hides behind a zero."""
        scale = self._palette.scale
        order = [CellState.IMPOSSIBLE, scale.zero, scale.noise, *reversed(_STATES_FIRST)]
        strength = np.abs(values)
        for place, code in enumerate(order):
            strength = np.where(codes == code, place - float(len(order)), strength)
        return strength

    def _pooled(self, values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
        """The largest of each cell's numbers by size, NaN if it has none."""
        pool = self.pool(window.width)
        values = values[window.first * pool : (window.first + self._shown(window)) * pool]
        if pool == 1 or not len(values):
            return values
        starts = np.arange(0, len(values), pool)
        highest, lowest = np.fmax.reduceat(values, starts), np.fmin.reduceat(values, starts)
        return np.where(np.abs(lowest) > np.abs(highest), lowest, highest)

    def _run_segments(self, codes: NDArray[np.uint8]) -> list[Segment]:
        texts, styles = self._palette.scale.texts, self._palette.cells
        return [
            Segment(texts[code][: self.cell] * (end - start), styles[code])
            for start, end in _runs(codes)
            for code in (int(codes[start]),)
        ]

    def _strip(self, segments: list[Segment], width: int) -> Strip:
        return strip(segments, width, self.blank)


def _runs(codes: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """The half-open ranges of equal neighbours."""
    if not len(codes):
        return []
    edges = (np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist()
    return list(zip([0, *edges], [*edges, len(codes)], strict=True))
