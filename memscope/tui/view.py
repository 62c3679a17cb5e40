"""What the screens draw of a matrix, computed in bulk: cell codes, row order, sums, range."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation
from memscope.scoring.matrix import IMPORTANT, CellState, Metric, ScoreMatrix
from memscope.tui.theme import SHADES, Scale

_UNFINISHED = (CellState.PENDING, CellState.RUNNING)


class RowOrder(StrEnum):
    """How rows are ordered."""

    WEIGHT = "by weight"
    CONVERSATION = "in order"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A memory in one response's column; `value` in nats, NaN if not scored. It `matters` if that is neither
    next to nothing nor within the noise; important ones have a `rank` from 1."""

    memory: int
    state: CellState
    value: float
    matters: bool
    rank: int | None = None


class MatrixView:
    """A conversation's matrix under one metric, order, scale and range."""

    def __init__(self, conversation: Conversation, matrix: ScoreMatrix, metric: Metric) -> None:
        self.metric = metric
        self.row_order = RowOrder.WEIGHT
        self.scale: Scale = SHADES
        self.adopt(conversation, matrix)

    def adopt(self, conversation: Conversation, matrix: ScoreMatrix) -> None:
        """Show `matrix`, that of `conversation`, from now on."""
        self.conversation = conversation
        self.matrix = matrix
        memories, responses = matrix.shape
        self.codes: NDArray[np.uint8] = np.zeros((memories, responses), np.uint8)
        self.versions: NDArray[np.int64] = np.zeros(memories, np.int64)
        """Grows whenever something drawn of a memory's row has changed."""
        self.extent: float | None = None
        """The range's end in nats: it reaches from -extent to +extent. None while nothing is scored."""
        self.recompute()

    def set_metric(self, metric: Metric) -> None:
        """Show another metric, with its own range."""
        self.metric = metric
        self.recompute()

    def next_metric(self) -> Metric:
        """The metric after this one, of those that the matrix can show."""
        metrics = [m for m in Metric if self.matrix.per_token or m is not Metric.TOKEN_CLAMPED]
        return metrics[(metrics.index(self.metric) + 1) % len(metrics)]

    def set_row_order(self, row_order: RowOrder) -> None:
        """Order the rows otherwise."""
        self.row_order = row_order
        self._sort()

    def set_scale(self, scale: Scale) -> None:
        """Draw cells with another scale."""
        if scale is not self.scale:
            self.scale = scale
            self.recompute()

    def recompute(self) -> None:
        """Look at everything anew: range, codes, sums, order."""
        values = self._sum()
        self.extent = _extent(values, self.within_noise)
        self._encode(values, slice(None))
        self._sort()

    def update(self, rows: Iterable[int]) -> None:
        """Take in changed rows. The range only widens, and rows move only when one of them has finished."""
        changed = np.fromiter(set(rows), np.intp)
        values = self._sum()
        extent = _extent(values, self.within_noise)
        if extent is not None and (self.extent is None or extent > self.extent):
            self.extent = extent
            self._encode(values, slice(None))
        else:
            self._encode(values, changed)
        finished = ~np.isin(self.matrix.states[changed], _UNFINISHED).any(axis=1)
        if finished.any() and self.row_order is RowOrder.WEIGHT:
            self._sort()

    def ranking(self, response: int) -> list[Ranked]:
        """Every memory that stands before a response: important ones, largest first, then those that speak
        against it, strongest first, then the rest by size, then what is not scored."""
        values = self.matrix.values(self.metric)[:, response]
        states = self.matrix.states[:, response]
        size = np.nan_to_num(np.abs(values))
        matters = (size > IMPORTANT) & ~self.within_noise[:, response]
        group = np.select(
            [states != CellState.SCORED, matters & (values > 0), matters],
            [3 + states.astype(np.int64), 0, 1],
            2,
        )
        rows = np.lexsort((-size, group))
        ranked, rank = [], 0
        for memory in rows.tolist():
            if states[memory] == CellState.IMPOSSIBLE:
                continue
            rank += group[memory] == 0
            ranked.append(
                Ranked(
                    memory,
                    CellState(int(states[memory])),
                    float(values[memory]),
                    bool(matters[memory]),
                    int(rank) if group[memory] == 0 else None,
                )
            )
        return ranked

    def place_in_column(self, memory: int, response: int) -> tuple[int, int]:
        """(place by value, how many) among the scored cells of a response's column."""
        column = self.matrix.values(self.metric)[:, response]
        return int((column > column[memory]).sum()) + 1, int((~np.isnan(column)).sum())

    def _sum(self) -> NDArray[np.float64]:
        self.weights = self.matrix.weights(self.metric)
        self.dependence = self.matrix.dependence(self.metric)
        self.within_noise = self.matrix.within_noise(self.metric)
        return self.matrix.values(self.metric)

    def _encode(self, values: NDArray[np.float64], rows: slice | NDArray[np.intp]) -> None:
        self.codes[rows] = self.scale.codes(
            values[rows], self.matrix.states[rows], self.extent or 1.0, self.within_noise[rows]
        )
        self.versions[rows] += 1

    def _sort(self) -> None:
        count = len(self.weights)
        if self.row_order is RowOrder.WEIGHT:
            self.order = np.argsort(-self.weights, kind="stable")
        else:
            self.order = np.arange(count)
        self.row_of = np.empty(count, np.intp)
        self.row_of[self.order] = np.arange(count)


def _extent(values: NDArray[np.float64], within_noise: NDArray[np.bool_]) -> float | None:
    """The 98th percentile of what is not nearly zero, rounded up to 1, 2 or 5 times a power of ten: a single
    spike does not wash out the rest, and everything beyond it shows as strongest."""
    sizes = np.abs(values)
    sizes = sizes[(sizes > IMPORTANT) & ~within_noise]
    if not sizes.size:
        return None if np.isnan(values).all() else 1.0
    top = float(np.percentile(sizes, 98, method="higher"))
    power = 10.0 ** np.floor(np.log10(top))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= top * (1 - 1e-9)))
