"""Two matrices of one session, cell by cell: how far numbers moved, and whether the memories' order did."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from memscope.scoring.matrix import NOISE_FACTOR, CellState, Metric, ScoreMatrix

T = TypeVar("T")

_FEWEST = 3
"""Memories of which a rank correlation says anything: of two it is always 1 or -1."""


@dataclass(frozen=True)
class Moved:
    """A cell whose number is not the same: the memory's key, the response's entry, divergences in nats."""

    key: str
    entry: int
    a: float
    b: float
    difference: float
    within_noise: bool


@dataclass(frozen=True)
class Only:
    """What one of two matrices alone has: memories, responses by their entries, and, of the memories and
    responses that both have, how many cells are scored in this one only."""

    keys: tuple[str, ...]
    entries: tuple[int, ...]
    cells: int


@dataclass(frozen=True)
class Comparison:
    """What matrices a and b both have: M memories by `keys` and R responses by their `entries`, in the order
    of b, with the divergences `a` and `b` [M, R] in nats, NaN where not scored."""

    keys: tuple[str, ...]
    entries: tuple[int, ...]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    within_noise: NDArray[np.bool_]
    """Which differences [M, R] are less than `NOISE_FACTOR` times the larger noise of their response."""
    only_a: Only
    only_b: Only
    matrix: ScoreMatrix
    """b - a as signed divergences [M, R], scored where both are, with the larger noise of each response. A
    cell that either could not score has failed, one that either has not scored yet is pending."""

    @cached_property
    def difference(self) -> NDArray[np.float64]:
        """b - a [M, R] in nats, NaN where either has no number."""
        return self.b - self.a

    @cached_property
    def correlation(self) -> float | None:
        """Spearman's rank correlation of the memories' weights, each the sum over the cells that both have
        scored; None for fewer than three memories with such cells, or if all weights of one are equal."""
        both = ~np.isnan(self.difference)
        rows = both.any(axis=1)
        weights = (np.where(both, values, 0.0).sum(axis=1)[rows] for values in (self.a, self.b))
        return spearman(*weights)

    def moved(self, most: int = 20) -> list[Moved]:
        """The cells that moved most, up or down, the largest difference first; those that did not move at
        all are not among them."""
        sizes = np.nan_to_num(np.abs(self.difference)).ravel()
        least = np.partition(sizes, -most)[-most] if 0 < most < len(sizes) else 0.0
        largest = np.flatnonzero((sizes >= least) & (sizes > 0))  # sorting all would take seconds
        order = largest[np.argsort(-sizes[largest], kind="stable")][:most]
        cells = (divmod(at, len(self.entries)) for at in order.tolist())
        return [
            Moved(
                self.keys[m],
                self.entries[r],
                float(self.a[m, r]),
                float(self.b[m, r]),
                float(self.difference[m, r]),
                bool(self.within_noise[m, r]),
            )
            for m, r in cells
        ]


def compare(a: ScoreMatrix, b: ScoreMatrix, metric: Metric) -> Comparison:
    """Compare two matrices under one metric, memories matched by key and responses by entry."""
    (rows_a, rows_b), only_a_keys, only_b_keys = _matched(a.keys, b.keys)
    (columns_a, columns_b), only_a_entries, only_b_entries = _matched(a.responses, b.responses)
    values_a = a.values(metric)[np.ix_(rows_a, columns_a)]
    values_b = b.values(metric)[np.ix_(rows_b, columns_b)]
    noise = np.fmax(a.noise[columns_a], b.noise[columns_b])
    scored_a, scored_b = ~np.isnan(values_a), ~np.isnan(values_b)
    keys = tuple(b.keys[row] for row in rows_b)
    entries = tuple(b.responses[column] for column in columns_b)
    states = _states(a.states[np.ix_(rows_a, columns_a)], b.states[np.ix_(rows_b, columns_b)])
    matrix = ScoreMatrix(keys, entries, states != CellState.IMPOSSIBLE, per_token=False)
    matrix.set_all(states, values_b - values_a, np.full(states.shape, np.nan))
    matrix.tokens[:], matrix.noise[:] = b.tokens[columns_b], noise
    for at, (row_a, row_b) in enumerate(zip(rows_a, rows_b, strict=True)):
        reason = b.errors.get(row_b, a.errors.get(row_a))
        if reason is not None:
            matrix.errors[at] = reason
    return Comparison(
        keys,
        entries,
        values_a,
        values_b,
        np.abs(values_b - values_a) < NOISE_FACTOR * noise,
        Only(only_a_keys, only_a_entries, int((scored_a & ~scored_b).sum())),
        Only(only_b_keys, only_b_entries, int((scored_b & ~scored_a).sum())),
        matrix,
    )


def _states(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How the differences of cells that stand so in a and in b stand themselves."""
    scored = (a == CellState.SCORED) & (b == CellState.SCORED)
    impossible = (a == CellState.IMPOSSIBLE) & (b == CellState.IMPOSSIBLE)
    failed = (a == CellState.FAILED) | (b == CellState.FAILED)
    states: NDArray[np.uint8] = np.select(
        [scored, impossible, failed],
        [CellState.SCORED, CellState.IMPOSSIBLE, CellState.FAILED],
        CellState.PENDING,
    ).astype(np.uint8)
    return states


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation of two rows [n] without NaN; None for n < 3 or where one is constant.

    rho = cov(R(x), R(y)) / (sd(R(x)) sd(R(y))), with R the ranks and equal values sharing the mean of theirs:
    Spearman (1904), "The proof and measurement of association between two things"; with ties Kendall &
    Gibbons, "Rank Correlation Methods".
    """
    if len(x) < _FEWEST:
        return None
    ranks = [_ranks(values) for values in (x, y)]
    first, second = (rank - rank.mean() for rank in ranks)
    spread = float(np.sqrt((first @ first) * (second @ second)))
    return None if spread == 0.0 else float(np.clip(first @ second / spread, -1.0, 1.0))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks [n] from 1, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _matched(
    a: Sequence[T], b: Sequence[T]
) -> tuple[tuple[list[int], list[int]], tuple[T, ...], tuple[T, ...]]:
    """The places in a and in b of what both have, in the order of b, and what only one of them has."""
    place = {item: at for at, item in enumerate(a)}
    pairs = [(place[item], at) for at, item in enumerate(b) if item in place]
    has = set(b)
    only_a = tuple(item for item in a if item not in has)
    only_b = tuple(item for item in b if item not in place)
    return ([at for at, _ in pairs], [at for _, at in pairs]), only_a, only_b
