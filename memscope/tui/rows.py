"""What rows of a matrix are sorted and filtered by, kept for every row so that neither looks at all cells."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from memscope.scoring.matrix import IMPORTANT, NOISE_FACTOR, CellState
from memscope.tui.arrangement import RowFilter, RowOrder

_FIRST_STATES = (CellState.FAILED, CellState.RUNNING, CellState.PENDING, CellState.SCORED)
"""A row stands as the first of these that any of its cells is in."""
_UNFINISHED = (CellState.PENDING, CellState.RUNNING)


class RowStatistics:
    """A number of each kind for every row [rows]."""

    def __init__(self, rows: int, responses: int) -> None:
        self.weights: NDArray[np.float64] = np.full(rows, np.nan)
        """The sum of its scored cells in nats, NaN where none is scored."""
        self.states: NDArray[np.uint8] = np.zeros(rows, np.uint8)
        """How it stands as a whole."""
        self._strongest = np.full(rows, np.nan)
        self._first_use = np.full(rows, responses)
        self._matters = np.zeros(rows, np.bool_)
        self._negative = np.zeros(rows, np.bool_)

    def measure(
        self,
        rows: NDArray[np.intp],
        values: NDArray[np.float64],
        states: Callable[[int], NDArray[np.uint8]],
        noise: NDArray[np.float64],
    ) -> None:
        """Look at these rows of `values` [rows, responses] in nats and at their cells' states."""
        least = np.fmax(IMPORTANT, NOISE_FACTOR * noise)
        for row in rows.tolist():
            numbers, of_row = values[row], states(row)
            self.states[row] = next((s for s in _FIRST_STATES if (of_row == s).any()), CellState.IMPOSSIBLE)
            scored = ~np.isnan(numbers)
            sizes = np.abs(numbers)
            matters = sizes > least
            used = bool(matters.any())
            self.weights[row] = np.where(scored, numbers, 0.0).sum() if scored.any() else np.nan
            self._strongest[row] = np.fmax.reduce(sizes, initial=np.nan)
            self._first_use[row] = matters.argmax() if used else len(numbers)
            self._matters[row] = used
            self._negative[row] = (matters & (numbers < 0)).any()

    def finished(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these rows [rows] have neither pending nor running cells."""
        finished: NDArray[np.bool_] = ~np.isin(self.states[rows], _UNFINISHED)
        return finished

    def ordered(self, order: RowOrder, keys: Sequence[str]) -> NDArray[np.intp]:
        """The first rows, those of `keys`, in this order; rows alike stay as they stand."""
        count = len(keys)
        match order:
            case RowOrder.WEIGHT:
                by = -self.weights
            case RowOrder.STRONGEST:
                by = -self._strongest
            case RowOrder.FIRST_USE:
                by = self._first_use
            case RowOrder.STATE:
                places = {state: place for place, state in enumerate(_FIRST_STATES)}
                by = np.array([places.get(CellState(s), len(places)) for s in self.states.tolist()], np.int64)
            case RowOrder.KEY:
                return np.array(sorted(range(count), key=lambda at: keys[at].casefold()), np.intp)
            case RowOrder.CONVERSATION:
                return np.arange(count)
        return np.argsort(by[:count], kind="stable")

    def passing(self, row_filter: RowFilter) -> NDArray[np.bool_]:
        """Which rows [rows] a filter lets through."""
        match row_filter:
            case RowFilter.ABOVE_NOISE:
                return self._matters.copy()
            case RowFilter.NEGATIVE:
                return self._negative.copy()
            case RowFilter.UNSCORED:
                missing = (CellState.FAILED, *_UNFINISHED)
                unscored: NDArray[np.bool_] = np.isin(self.states, missing)
                return unscored
            case RowFilter.ALL:
                return np.ones(len(self.states), np.bool_)
