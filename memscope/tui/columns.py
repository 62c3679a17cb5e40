"""Sums of a matrix's columns, kept so that a row that changes does not add up everything again."""

import numpy as np
from numpy.typing import NDArray


class ColumnSums:
    """Of the columns [responses] of the rows that are put in."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        responses = values.shape[1]
        self._sum, self._counts = np.zeros(responses), np.zeros(responses, np.int64)
        self.sizes = np.zeros(responses)
        """The sum of the sizes in each column [responses]."""
        self._add(values, 1)

    def take_out(self, rows: NDArray[np.float64]) -> None:
        """Rows that change."""
        self._add(rows, -1)

    def put_in(self, rows: NDArray[np.float64]) -> None:
        """What they have become."""
        self._add(rows, 1)

    @property
    def totals(self) -> NDArray[np.float64]:
        """The sum of each column [responses], NaN where nothing is scored."""
        totals: NDArray[np.float64] = np.where(self._counts > 0, self._sum, np.nan)
        return totals

    def _add(self, rows: NDArray[np.float64], sign: int) -> None:
        for row in rows:
            scored = ~np.isnan(row)
            filled = np.where(scored, row, 0.0)
            self._sum += sign * filled
            self.sizes += sign * np.abs(filled)
            self._counts += sign * scored
