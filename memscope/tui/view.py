"""What the screens draw of a matrix: rows and columns in order, sums, range, and the codes of cells."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation
from memscope.scoring.matrix import IMPORTANT, NOISE_FACTOR, CellState, Metric, ScoreMatrix, range_end
from memscope.tui.arrangement import ColumnOrder, Normalisation, RowFilter, RowOrder, ViewSettings, Zoom
from memscope.tui.columns import ColumnSums
from memscope.tui.rows import RowStatistics
from memscope.tui.theme import SHADES, Scale

_BLOCK = 64
"""Rows that are looked at together: all of a large matrix would take as much memory again."""
_SAMPLE = 500_000
"""Cells from which the range is computed, at most; of a larger matrix every n-th row is looked at."""

Members = tuple[int, ...]
"""Memories that are left out together, by their indexes, rising."""


Cells = tuple[int | slice | NDArray[np.intp], int | slice]
"""Some cells of single memories: an index by memory and response."""


_FOR, _AGAINST, _QUIET, _UNSCORED = range(4)
"""How cells rank: those that matter by their sign, those that do not, and from here on by their state."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A cell in its response's column or its memory's row; `value` in nats, NaN if not scored. It `matters`
    if that is neither next to nothing nor within the noise; important ones have a `rank` from 1."""

    memory: int
    response: int
    state: CellState
    value: float
    matters: bool
    rank: int | None = None


class MatrixView:
    """A conversation's matrix under one metric, order, filter, normalisation, scale and range.

    Its rows are the M memories by their indexes and, from M on, sets of memories left out together.
    """

    def __init__(self, conversation: Conversation, matrix: ScoreMatrix, metric: Metric) -> None:
        self.metric = metric
        self.row_order = RowOrder.WEIGHT
        self.column_order = ColumnOrder.TIME
        self.normalisation = Normalisation.NATS
        self.zoom = Zoom.NORMAL
        self.row_filter = RowFilter.ALL
        self.prefix = ""
        """Only memories whose keys begin so are shown."""
        self.scale: Scale = SHADES
        self.pinned: set[str] = set()
        """Keys of memories that stay on top."""
        self.marked: set[str] = set()
        """Keys of memories that are to be left out together."""
        self.sets: tuple[tuple[Members, ScoreMatrix], ...] = ()
        self.version = 0
        """Grows whenever something drawn of every row has changed."""
        self.adopt(conversation, matrix)

    def adopt(self, conversation: Conversation, matrix: ScoreMatrix) -> None:
        """Show `matrix`, that of `conversation`, from now on; the sets are those of the matrix before."""
        self.conversation = conversation
        self.matrix = matrix
        self.sets = ()
        self.extent: float | None = None
        """The range's end in the unit of the normalisation: it reaches from -extent to +extent. None while
        nothing is scored."""
        self.recompute()

    @property
    def settings(self) -> ViewSettings:
        """What a user would like to find again."""
        return ViewSettings(self.metric, self.row_order, self.column_order, self.normalisation, self.zoom)

    def use(self, settings: ViewSettings) -> None:
        """Show the matrix as it was shown before; a metric that it has not is left aside."""
        if settings.metric in self.metrics:
            self.metric = settings.metric
        self.row_order, self.column_order = settings.row_order, settings.column_order
        self.normalisation, self.zoom = settings.normalisation, settings.zoom
        self.recompute()

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that the matrix can show."""
        return [m for m in Metric if self.matrix.per_token or m is not Metric.TOKEN_CLAMPED]

    def next_metric(self) -> Metric:
        """The metric after this one, of those that the matrix can show."""
        return self.metrics[(self.metrics.index(self.metric) + 1) % len(self.metrics)]

    def set_metric(self, metric: Metric) -> None:
        """Show another metric, with its own range."""
        self.metric = metric
        self.recompute()

    def set_normalisation(self, normalisation: Normalisation) -> None:
        """Show numbers in another unit, with its own range."""
        self.normalisation = normalisation
        self._measure_range()
        self._sort()

    def set_row_order(self, row_order: RowOrder) -> None:
        """Order the rows otherwise."""
        self.row_order = row_order
        self._sort()

    def set_column_order(self, column_order: ColumnOrder) -> None:
        """Order the columns otherwise."""
        self.column_order = column_order
        self._sort()

    def set_filter(self, row_filter: RowFilter, prefix: str = "") -> None:
        """Show only such rows, of those whose keys begin with `prefix`."""
        self.row_filter, self.prefix = row_filter, prefix
        self._sort()

    def set_scale(self, scale: Scale) -> None:
        """Draw cells with another scale."""
        if scale is not self.scale:
            self.scale = scale
            self.version += 1

    def set_sets(self, sets: Sequence[tuple[Members, ScoreMatrix]]) -> None:
        """Show these sets of memories left out together, each with its matrix of one row, above the rest."""
        self.sets = tuple(sets)
        self.recompute()

    def pin(self, memory: int) -> None:
        """Let a memory's row stay on top, or no longer."""
        self.pinned ^= {self.matrix.keys[memory]}
        self._sort()

    def mark(self, memory: int) -> None:
        """Mark a memory, or no longer."""
        self.marked ^= {self.matrix.keys[memory]}
        self.versions[memory] += 1

    @property
    def marked_memories(self) -> Members:
        """The marked memories' indexes."""
        return tuple(at for at, key in enumerate(self.matrix.keys) if key in self.marked)

    @property
    def is_filtered(self) -> bool:
        """Whether some rows may be hidden."""
        return self.row_filter is not RowFilter.ALL or bool(self.prefix)

    def members(self, row: int) -> Members:
        """The memories that a row leaves out."""
        count = len(self.matrix.keys)
        return (row,) if row < count else self.sets[row - count][0]

    def is_set(self, row: int) -> bool:
        """Whether a row leaves out several memories."""
        return row >= len(self.matrix.keys)

    def source(self, row: int) -> tuple[ScoreMatrix, int]:
        """The matrix that holds a row, and where in it."""
        count = len(self.matrix.keys)
        return (self.matrix, row) if row < count else (self.sets[row - count][1], 0)

    def state(self, row: int, response: int) -> CellState:
        """How a cell stands."""
        matrix, at = self.source(row)
        return CellState(int(matrix.states[at, response]))

    def recompute(self) -> None:
        """Look at everything anew: values, sums, range, order."""
        memories, responses = self.matrix.shape
        self.keys = (*self.matrix.keys, *(" + ".join(self._names(members)) for members, _ in self.sets))
        """The names of the rows."""
        self.versions: NDArray[np.int64] = np.zeros(len(self.keys), np.int64)
        """Grows whenever something drawn of a row has changed."""
        self.values: NDArray[np.float64] = np.concatenate(
            [self.matrix.values(self.metric), *(each.values(self.metric) for _, each in self.sets)]
        )
        """Divergences [rows, responses] in nats, NaN wherever not scored."""
        self._statistics = RowStatistics(len(self.keys), responses)
        self._statistics.measure(np.arange(len(self.keys)), self.values, self._states, self.matrix.noise)
        self._sums = ColumnSums(self.values[:memories])
        self._measure_range()
        self._sort()

    def update(self, rows: Iterable[int]) -> None:
        """Take in changed rows. The range only widens, and rows move only when one of them has finished."""
        changed = np.fromiter(set(rows), np.intp)
        memories = len(self.matrix.keys)
        alone = changed[changed < memories]
        self._sums.take_out(self.values[alone])
        self.values[alone] = self.matrix.row_values(self.metric, alone)
        self._sums.put_in(self.values[alone])
        for row in changed[changed >= memories].tolist():
            self.values[row] = self.sets[row - memories][1].values(self.metric)[0]
        self._statistics.measure(changed, self.values, self._states, self.matrix.noise)
        self.versions[changed] += 1
        before, self.extent = self.extent, self._range()
        if before is not None and (self.extent is None or self.extent < before):
            self.extent = before
        if self.extent != before or self.normalisation is Normalisation.SHARE:
            self.version += 1
        if self._statistics.finished(changed).any() and self.row_order is not RowOrder.CONVERSATION:
            self._sort()

    @property
    def weights(self) -> NDArray[np.float64]:
        """The sum of each row [rows] in nats, NaN where nothing is scored."""
        return self._statistics.weights

    @property
    def dependence(self) -> NDArray[np.float64]:
        """The sum of each response's column [responses] over single memories, NaN where nothing is scored."""
        return self._sums.totals

    @property
    def frozen(self) -> int:
        """How many rows stay on top whatever is scrolled: sets and pinned memories."""
        return self._frozen

    def row_state(self, row: int) -> CellState:
        """How a row stands as a whole."""
        return CellState(int(self._statistics.states[row]))

    def within_noise(self, row: int, response: int) -> bool:
        """Whether a cell lies below `NOISE_FACTOR` times its response's noise."""
        return bool(abs(self.values[row, response]) < NOISE_FACTOR * self.matrix.noise[response])

    def shown(self, row: int, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """A row's numbers [columns] in the unit of the normalisation; NaN where there is none."""
        return self._normalised(self.values[row, columns], columns)

    def codes(self, row: int, columns: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The codes of a row's cells [columns] on the scale."""
        nats = self.values[row, columns]
        numbers = np.where(np.abs(nats) > IMPORTANT, self.shown(row, columns), nats * 0.0)
        matrix, at = self.source(row)
        within = np.abs(nats) < NOISE_FACTOR * self.matrix.noise[columns]
        states: NDArray[np.uint8] = matrix.states[at, columns]
        codes: NDArray[np.uint8] = self.scale.codes(numbers, states, self.extent or 1.0, within, least=0.0)
        return codes

    def matters(self, cells: Cells) -> NDArray[np.bool_]:
        """Which of these cells of single memories are neither next to nothing nor within the noise; what is
        not scored never matters."""
        size = np.abs(self.values[: len(self.matrix.keys)][cells])
        noise = np.broadcast_to(self.matrix.noise, self.matrix.shape)[cells]
        matters: NDArray[np.bool_] = size > np.fmax(IMPORTANT, NOISE_FACTOR * noise)
        return matters

    def ranking(self, response: int) -> list[Ranked]:
        """Every memory that stands before a response: important ones, largest first, then those that speak
        against it, strongest first, then the rest by size, then what is not scored."""
        return self._ranked((slice(None), response), lambda memory: (memory, response))

    def reach(self, memory: int) -> list[Ranked]:
        """Every response that a memory stands before, ordered as in a `ranking`."""
        return self._ranked((memory, slice(None)), lambda response: (memory, response))

    def place_in_column(self, row: int, response: int) -> tuple[int, int]:
        """(place by value, how many) among the scored cells of single memories in a response's column."""
        column = self.values[: len(self.matrix.keys), response]
        return int((column > self.values[row, response]).sum()) + 1, int((~np.isnan(column)).sum())

    def strongest_after(self, cell: tuple[int, int] | None, step: int) -> tuple[int, int] | None:
        """The cell of a shown row that comes after (step 1) or before (step -1) this one by the size of its
        number, of those that matter; without a cell the strongest or the weakest. None if there is none."""
        responses = self.matrix.shape[1]
        here = None if cell is None else self._sizes(self.order[[self.row_of[cell[0]]]])[0, cell[1]]
        at = 0 if cell is None else int(self.row_of[cell[0]]) * responses + cell[1]
        best: tuple[float, int] | None = None
        for first in range(0, len(self.order), _BLOCK):
            sizes = self._sizes(self.order[first : first + _BLOCK]).ravel()
            places = first * responses + np.arange(len(sizes))
            if here is not None:
                beyond = sizes < here if step > 0 else sizes > here
                sizes[~(beyond | ((sizes == here) & ((places - at) * step > 0)))] = np.nan
            if np.isnan(sizes).all():
                continue
            # of equal ones the first going forward, the last going back
            found = np.nanargmax(sizes) if step > 0 else len(sizes) - 1 - np.nanargmin(sizes[::-1])
            size = float(sizes[found])
            if best is None or (size > best[0] if step > 0 else size <= best[0]):
                best = size, int(places[found])
        if best is None:
            return None
        row, response = divmod(best[1], responses)
        return int(self.order[row]), response

    def _sizes(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """The sizes of these rows' numbers [rows, responses] as they are shown; NaN where they do not
        matter."""
        nats = self.values[rows]
        sizes = np.abs(self._normalised(nats, np.arange(nats.shape[1])))
        return np.where(np.abs(nats) > np.fmax(IMPORTANT, NOISE_FACTOR * self.matrix.noise), sizes, np.nan)

    def _ranked(self, line: Cells, cell: Callable[[int], tuple[int, int]]) -> list[Ranked]:
        """The possible cells of a row or a column by rank; `cell` is the one at a place in it."""
        values, states = self.values[: len(self.matrix.keys)][line], self.matrix.states[line]
        # What has been scored since the last update has no value here yet.
        states = np.where((states == CellState.SCORED) & np.isnan(values), CellState.RUNNING, states)
        groups = np.select(
            [states != CellState.SCORED, ~self.matters(line), values < 0],
            [_UNSCORED + states, _QUIET, _AGAINST],
            _FOR,
        )
        order = np.lexsort((-np.nan_to_num(np.abs(values)), groups))
        order = order[groups[order] != _UNSCORED + CellState.IMPOSSIBLE]
        found = zip(order.tolist(), groups[order].tolist(), values[order].tolist(), strict=True)
        return [
            Ranked(
                *cell(at),
                CellState.SCORED if group < _UNSCORED else CellState(group - _UNSCORED),
                value,
                group < _QUIET,
                rank if group == _FOR else None,
            )
            for rank, (at, group, value) in enumerate(found, 1)
        ]

    def _names(self, members: Members) -> list[str]:
        return [self.matrix.keys[memory] for memory in members]

    def _states(self, row: int) -> NDArray[np.uint8]:
        matrix, at = self.source(row)
        states: NDArray[np.uint8] = matrix.states[at]
        return states

    def _normalised(self, nats: NDArray[np.float64], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        if self.normalisation is Normalisation.NATS:
            return nats
        if self.normalisation is Normalisation.PER_TOKEN:
            by = self.matrix.tokens[columns].astype(np.float64)
        else:
            by = self._sums.sizes[columns] / 100
        return nats / np.where(by > 0, by, np.nan)

    def _measure_range(self) -> None:
        self.extent = self._range()
        self.version += 1

    def _range(self) -> float | None:
        """The end of the range, from what is not nearly zero."""
        step = max(1, self.values.size // _SAMPLE)
        nats = self.values[::step]
        if np.isnan(nats).all():
            return None
        noise = np.fmax(IMPORTANT, NOISE_FACTOR * self.matrix.noise)
        numbers = self._normalised(nats, np.arange(nats.shape[1]))
        sizes = np.abs(numbers[np.abs(nats) > noise])
        return range_end(sizes[sizes > 0])

    def _sort(self) -> None:
        memories = len(self.matrix.keys)
        alone = self._statistics.ordered(self.row_order, self.matrix.keys)
        pinned = np.array([key in self.pinned for key in self.matrix.keys], np.bool_)
        kept = self._statistics.passing(self.row_filter)[:memories]
        if self.prefix:
            kept &= np.array([key.startswith(self.prefix) for key in self.matrix.keys], np.bool_)
        on_top = alone[pinned[alone]]
        sets = np.arange(memories, len(self.keys))
        self.order = np.concatenate([sets, on_top, alone[kept[alone] & ~pinned[alone]]]).astype(np.intp)
        """The rows that are shown, from the top."""
        self.row_of = _places(self.order, len(self.keys))
        """Where each row stands, -1 if it is not shown."""
        self._frozen = len(sets) + len(on_top)
        columns = np.arange(self.matrix.shape[1])
        if self.column_order is ColumnOrder.DEPENDENCE:
            columns = np.argsort(-self.dependence, kind="stable")
        self.columns: NDArray[np.intp] = columns
        """The responses, from the left."""
        self.column_of = _places(columns, len(columns))
        self.version += 1


def _places(order: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    places = np.full(count, -1, np.intp)
    places[order] = np.arange(len(order))
    return places
