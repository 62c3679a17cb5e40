"""The matrix of divergences: one row a memory, one column a response, and how each cell stands.

A row may also be several memories that are left out together; it is then named after them.
"""

import math
from collections.abc import Sequence
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

IMPORTANT = 0.01
"""Divergence in nats above which a memory is important for a response."""
NOISE_FACTOR = 3.0
"""A divergence below so many times its response's noise may be nothing but noise."""

ALL_MEMORIES = "all memories"
"""What a row is called that leaves out every memory."""


class CellState(IntEnum):
    """How a cell stands; only a scored one has a number."""

    IMPOSSIBLE = 0
    PENDING = 1
    RUNNING = 2
    SCORED = 3
    FAILED = 4


class Metric(StrEnum):
    """How the per-token drops b[t] - w[t] become one divergence."""

    SIGNED = "signed"
    CLAMPED = "clamped"
    TOKEN_CLAMPED = "token-clamped"


class ScoreMatrix:
    """Divergences of M memories x R responses, in nats, NaN wherever a cell is not scored.

    With b[t] the log-probability of response token t with all memories and w[t] without one:
    signed = sum(b - w), clamped = max(0, signed), token-clamped = sum(max(0, b - w)).
    """

    def __init__(
        self,
        keys: Sequence[str],
        responses: Sequence[int],
        possible: NDArray[np.bool_],
        *,
        per_token: bool = True,
    ) -> None:
        """`responses` are entry indexes; `possible` [M, R] says which cells can have a number. Without
        `per_token` only the totals of responses are known, and nothing is scored token-clamped."""
        shape = (len(keys), len(responses))
        self.keys = tuple(keys)
        self.responses = tuple(responses)
        self.states: NDArray[np.uint8] = np.where(possible, CellState.PENDING, CellState.IMPOSSIBLE).astype(
            np.uint8
        )
        self.errors: dict[int, str] = {}
        """Why a row's failed cells failed, by memory index."""
        self.tokens: NDArray[np.int64] = np.zeros(len(responses), np.int64)
        self.baseline: NDArray[np.float64] = np.full(len(responses), np.nan)
        """Log-probability of each response with all memories [R], NaN until known."""
        self.noise: NDArray[np.float64] = np.full(len(responses), np.nan)
        """Spread of each response's log-probability [R] when it is scored again, in nats, NaN until known."""
        self.origins: NDArray[np.uint8] = np.zeros((len(responses), 32), np.uint8)
        """A digest of all that a response's cells are computed from [R, 32], zeros where it is not known."""
        self.per_token = per_token
        # of one number each, until there are others: most matrices of a large conversation are never filled
        self._signed = self._token_clamped = np.broadcast_to(np.float64(np.nan), shape)

    @property
    def shape(self) -> tuple[int, int]:
        """(memories, responses)."""
        return len(self.keys), len(self.responses)

    def set_scored(
        self, memory: int, response: int, with_all: NDArray[np.float32], without: NDArray[np.float32]
    ) -> None:
        """Score one cell from its response's log-probabilities with and without the memory: [t], or [1] their
        totals."""
        self._make_room()
        drop = with_all.astype(np.float64) - without.astype(np.float64)
        self._signed[memory, response] = drop.sum()
        if self.per_token:
            self._token_clamped[memory, response] = np.maximum(drop, 0.0).sum()
        self.states[memory, response] = CellState.SCORED

    def set_all(
        self,
        states: NDArray[np.uint8],
        signed: NDArray[np.float64],
        token_clamped: NDArray[np.float64],
    ) -> None:
        """Set every cell [M, R] to what it was in another matrix: its state, and its divergence in nats under
        both metrics, NaN wherever it is not scored. The numbers are taken over, not copied."""
        self.states[:] = states
        self._signed = np.asarray(signed, np.float64)
        self._token_clamped = np.asarray(token_clamped, np.float64)

    def _make_room(self) -> None:
        if not self._signed.flags.writeable:
            self._signed, self._token_clamped = self._signed.copy(), self._token_clamped.copy()

    def set_running(self, memory: int, responses: Sequence[int]) -> None:
        """These cells are being scored."""
        self.states[memory, list(responses)] = CellState.RUNNING

    def stop_running(self) -> None:
        """Take running cells back to pending: the run is over."""
        self.states[self.states == CellState.RUNNING] = CellState.PENDING

    def set_failed(self, memory: int, responses: Sequence[int], reason: str) -> None:
        """Mark those of these cells that are not scored as failed."""
        cells = [response for response in responses if self.states[memory, response] != CellState.SCORED]
        if cells:
            self.states[memory, cells] = CellState.FAILED
            self.errors[memory] = reason

    def retry_failed(self) -> None:
        """Take all failed cells back to pending."""
        self.states[self.states == CellState.FAILED] = CellState.PENDING
        self.errors.clear()

    def clear(self, cells: NDArray[np.bool_] | None = None) -> None:
        """Forget these cells [M, R], or all, and their responses' baselines: they are pending again."""
        cells = np.ones(self.shape, np.bool_) if cells is None else cells
        self.states[cells & (self.states != CellState.IMPOSSIBLE)] = CellState.PENDING
        self.errors.clear()
        self._make_room()
        for numbers in (self._signed, self._token_clamped):
            numbers[cells] = np.nan
        for known in (self.baseline, self.noise):
            known[cells.any(axis=0)] = np.nan

    def take_over(self, other: "ScoreMatrix", rows: Sequence[int], responses: int) -> None:
        """Copy these rows' cells and the baselines of the first `responses` columns from the matrix of a
        conversation that is the same up to there."""
        self._copy_cells(other, np.ix_(rows, range(responses)))
        for mine, theirs in (
            (self.tokens, other.tokens),
            (self.baseline, other.baseline),
            (self.noise, other.noise),
        ):
            mine[:responses] = theirs[:responses]
        for row in rows:
            self.errors.pop(row, None)
            if row in other.errors:
                self.errors[row] = other.errors[row]

    def take_over_scored(self, past: "ScoreMatrix") -> NDArray[np.bool_]:
        """Copy the cells that are pending here and were scored in a matrix of the past, whose rows leave out
        the same memories, in columns of the same origin and baseline; which cells [M, R] they are."""
        rows, columns = np.minimum(self.shape, past.shape)
        mine, its = self.origins[:columns], past.origins[:columns]
        same = (
            mine.any(axis=1)
            & (mine == its).all(axis=1)
            & (self.baseline[:columns] == past.baseline[:columns])
        )
        there = (slice(rows), slice(columns))
        pending = self.states[there] == CellState.PENDING
        cells = same & pending & (past.states[there] == CellState.SCORED)
        if cells.any():
            self._copy_cells(past, np.nonzero(cells))
        taken = np.zeros(self.shape, np.bool_)
        taken[there] = cells
        return taken

    def _copy_cells(self, other: "ScoreMatrix", cells: tuple[NDArray[np.intp], ...]) -> None:
        """Copy what stands at these places (rows, columns) of another matrix, where both have them."""
        self._make_room()
        self.states[cells] = other.states[cells]
        self._signed[cells] = other._signed[cells]
        self._token_clamped[cells] = other._token_clamped[cells]

    def values(self, metric: Metric) -> NDArray[np.float64]:
        """Divergences [M, R] in nats under `metric`, NaN wherever not scored."""
        return self.row_values(metric, slice(None))

    def row_values(self, metric: Metric, rows: NDArray[np.intp] | slice) -> NDArray[np.float64]:
        """Divergences of these rows [rows, R] in nats, NaN wherever not scored."""
        if metric is Metric.TOKEN_CLAMPED:
            return self._token_clamped[rows]
        values: NDArray[np.float64] = self._signed[rows]
        return np.maximum(values, 0.0) if metric is Metric.CLAMPED else values

    def weights(self, metric: Metric) -> NDArray[np.float64]:
        """Each memory's weight [M]: the sum of its scored cells, NaN where none is scored."""
        return _sum_scored(self.values(metric), axis=1)

    def dependence(self, metric: Metric) -> NDArray[np.float64]:
        """Each response's dependence on memory [R]: the sum of its scored cells, NaN where none is."""
        return _sum_scored(self.values(metric), axis=0)

    @property
    def noise_floor(self) -> float | None:
        """The largest noise of any response, in nats; None while none is known."""
        return None if np.isnan(self.noise).all() else float(np.nanmax(self.noise))

    def within_noise(self, metric: Metric) -> NDArray[np.bool_]:
        """Which scored cells [M, R] lie below `NOISE_FACTOR` times their response's noise."""
        below: NDArray[np.bool_] = np.abs(self.values(metric)) < NOISE_FACTOR * self.noise
        return below

    def important(self, response: int, metric: Metric) -> list[tuple[int, float]]:
        """(memory index, divergence) of a column's cells above `IMPORTANT`, largest first."""
        column = self.values(metric)[:, response]
        chosen = np.flatnonzero(np.nan_to_num(column, nan=-np.inf) > IMPORTANT)
        order = chosen[np.argsort(-column[chosen], kind="stable")]
        return [(int(memory), float(column[memory])) for memory in order]

    def state_names(self) -> list[list[str]]:
        """How each cell [M, R] stands, as exports say it: `scored`, `pending`, ..."""
        return [[CellState(state).name.lower() for state in row] for row in self.states]

    def row_state(self, memory: int) -> CellState:
        """How a row stands: failed, running or pending if any cell is, else scored or impossible."""
        row = self.states[memory]
        for state in (CellState.FAILED, CellState.RUNNING, CellState.PENDING, CellState.SCORED):
            if (row == state).any():
                return state
        return CellState.IMPOSSIBLE

    def count(self, state: CellState) -> int:
        """How many cells stand so."""
        return int((self.states == state).sum())


def number(value: float) -> float | None:
    """A number as it is told elsewhere: None where it is not known, which is NaN in a matrix."""
    return None if math.isnan(value) else float(value)


def range_end(sizes: NDArray[np.float64]) -> float:
    """Where a range to draw these sizes in ends: their 98th percentile, rounded up to 1, 2 or 5 times a power
    of ten; 1 if there are none. A single spike does not wash out the rest, and everything beyond it shows as
    strongest."""
    if not sizes.size:
        return 1.0
    top = float(np.percentile(sizes, 98, method="higher"))
    power = 10.0 ** np.floor(np.log10(top))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= top * (1 - 1e-9)))


def _sum_scored(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    scored = ~np.isnan(values)
    sums = np.where(scored, values, 0.0).sum(axis=axis)
    totals: NDArray[np.float64] = np.where(scored.any(axis=axis), sums, np.nan)
    return totals
