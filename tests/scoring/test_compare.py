"""Two runs cell by cell: what both have, how far it moved, and whether the order of memories held."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.scoring.compare import Moved, Only, compare, spearman
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix

NAN = float("nan")


def matrix(
    cells: Mapping[str, Sequence[float]], entries: Sequence[int], noise: Sequence[float] | float = 0.0
) -> ScoreMatrix:
    """Rows of divergences by key, NaN where a cell is not scored."""
    made = ScoreMatrix(list(cells), entries, np.ones((len(cells), len(entries)), np.bool_))
    for row, values in enumerate(cells.values()):
        for column, value in enumerate(values):
            if not np.isnan(value):
                made.set_scored(row, column, np.array([value], np.float32), np.zeros(1, np.float32))
    made.noise[:] = noise
    return made


A = matrix({"home": [2, 3, NAN], "diet": [1, NAN, 4], "gone": [9, 9, 9]}, [3, 6, 9], [0.1, 0, NAN])
B = matrix({"new": [1] * 4, "diet": [1, 7, 3, 5], "home": [2.5, 1, 8, 5]}, [3, 6, 9, 12], [0.2, 0, NAN, 0])


class TestCells:
    """Memories matched by key, responses by entry."""

    def test_only_what_both_have_is_compared_in_the_order_of_the_second(self) -> None:
        found = compare(A, B, Metric.SIGNED)
        assert (found.keys, found.entries) == (("diet", "home"), (3, 6, 9))
        assert np.array_equal(found.a, [[1, NAN, 4], [2, 3, NAN]], equal_nan=True)
        assert np.array_equal(found.b, [[1.0, 7.0, 3.0], [2.5, 1.0, 8.0]], equal_nan=True)

    def test_the_difference_is_the_second_minus_the_first_and_nothing_where_one_has_no_number(self) -> None:
        found = compare(A, B, Metric.SIGNED)
        assert np.array_equal(found.difference, [[0, NAN, -1], [0.5, -2, NAN]], equal_nan=True)

    def test_what_only_one_has_is_named(self) -> None:
        found = compare(A, B, Metric.SIGNED)
        assert found.only_a == Only(("gone",), (), 0)
        assert found.only_b == Only(("new",), (12,), 2)

    def test_the_cells_that_moved_most_come_first_and_those_that_did_not_are_left_out(self) -> None:
        found = compare(A, B, Metric.SIGNED)
        assert found.moved() == [
            Moved("home", 6, 3.0, 1.0, -2.0, False),
            Moved("diet", 9, 4.0, 3.0, -1.0, False),
            Moved("home", 3, 2.0, 2.5, 0.5, True),
        ]
        assert [cell.entry for cell in found.moved(1)] == [6]

    def test_the_metric_is_that_of_the_numbers(self) -> None:
        a, b = matrix({"m": [-3, 1]}, [1, 2]), matrix({"m": [-1, 2]}, [1, 2])
        assert compare(a, b, Metric.SIGNED).difference.tolist() == [[2, 1]]
        assert compare(a, b, Metric.CLAMPED).difference.tolist() == [[0, 1]]

    def test_two_that_have_nothing_in_common_compare_to_nothing(self) -> None:
        found = compare(matrix({"a": [1]}, [1]), matrix({"b": [1]}, [2]), Metric.SIGNED)
        assert found.difference.shape == (0, 0)
        assert (found.moved(), found.correlation) == ([], None)
        assert (found.only_a, found.only_b) == (Only(("a",), (1,), 0), Only(("b",), (2,), 0))

    def test_a_matrix_compared_with_itself_has_not_moved(self) -> None:
        found = compare(A, A, Metric.SIGNED)
        assert found.moved() == []
        assert found.correlation == pytest.approx(1)
        assert np.array_equal(np.isnan(found.difference), np.isnan(A.values(Metric.SIGNED)))


class TestMatrix:
    """The differences as a matrix that can be drawn like any other."""

    def test_it_holds_the_differences_and_the_larger_noise(self) -> None:
        found = compare(A, B, Metric.SIGNED)
        assert (found.matrix.keys, found.matrix.responses) == (found.keys, found.entries)
        assert np.array_equal(found.matrix.values(Metric.SIGNED), found.difference, equal_nan=True)
        assert np.array_equal(found.matrix.noise, [0.2, 0, NAN], equal_nan=True)
        assert np.array_equal(found.matrix.within_noise(Metric.SIGNED), found.within_noise)

    def test_a_cell_that_one_of_the_two_has_not_scored_has_no_number_and_says_how_it_stands(self) -> None:
        a, b = matrix({"x": [1, NAN, 3, NAN]}, [1, 2, 3, 4]), matrix({"x": [2, 2, NAN, NAN]}, [1, 2, 3, 4])
        b.set_failed(0, [2], "the server fell over")
        for each in (a, b):
            each.states[0, 3] = CellState.IMPOSSIBLE
        found = compare(a, b, Metric.SIGNED).matrix
        assert found.states.tolist() == [
            [CellState.SCORED, CellState.PENDING, CellState.FAILED, CellState.IMPOSSIBLE]
        ]
        assert np.isfinite(found.values(Metric.SIGNED)).tolist() == [[True, False, False, False]]
        assert found.errors == {0: "the server fell over"}


class TestOrder:
    """Spearman's rank correlation of the memories' weights."""

    def test_weights_are_of_the_cells_that_both_have_scored(self) -> None:
        a = matrix({"x": [1, 90], "y": [2, NAN], "z": [3, 1], "w": [NAN, NAN]}, [1, 2])
        b = matrix({"x": [10, NAN], "y": [20, 90], "z": [30, NAN], "w": [5, 5]}, [1, 2])
        assert compare(a, b, Metric.SIGNED).correlation == pytest.approx(1)

    def test_fewer_than_three_memories_have_none(self) -> None:
        a = matrix({"x": [1], "y": [2], "z": [NAN]}, [1])
        assert compare(a, a, Metric.SIGNED).correlation is None

    @pytest.mark.parametrize(
        ("x", "y", "rho"),
        [
            ([1, 2, 3, 4], [10, 20, 30, 900], 1.0),
            ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
            (
                [86, 97, 99, 100, 101, 103, 106, 110, 112, 113],
                [2, 20, 28, 27, 50, 29, 7, 17, 6, 12],
                -29 / 165,
            ),
            ([1, 2, 2, 3], [1, 2, 3, 4], 0.9486832980505138),
        ],
    )
    def test_known_values(self, x: list[float], y: list[float], rho: float) -> None:
        found = spearman(np.array(x, np.float64), np.array(y, np.float64))
        assert found == pytest.approx(rho)

    @pytest.mark.parametrize(
        ("x", "y"), [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([], []), ([1], [1])]
    )
    def test_a_constant_one_or_a_short_one_has_none(self, x: list[float], y: list[float]) -> None:
        assert spearman(np.array(x, np.float64), np.array(y, np.float64)) is None

    @given(st.permutations(range(7)))
    def test_without_ties_it_is_the_textbook_formula(self, order: list[int]) -> None:
        n = len(order)
        squares = sum((at - value) ** 2 for at, value in enumerate(order))
        found = spearman(np.arange(n, dtype=np.float64), np.array(order, np.float64))
        assert found == pytest.approx(1 - 6 * squares / (n * (n * n - 1)))

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=9))
    def test_with_ties_it_is_pearsons_correlation_of_mean_ranks(self, pairs: list[tuple[int, int]]) -> None:
        x, y = zip(*pairs, strict=True)
        ranks = [
            [
                np.mean([at + 1 for at, other in enumerate(sorted(values)) if other == value])
                for value in values
            ]
            for values in (x, y)
        ]
        found = spearman(np.array(x, np.float64), np.array(y, np.float64))
        if any(len(set(values)) == 1 for values in (x, y)):
            assert found is None
        else:
            assert found == pytest.approx(np.corrcoef(ranks)[0, 1])

    def test_it_is_the_same_both_ways(self) -> None:
        for order in itertools.permutations(range(4)):
            x, y = np.arange(4.0), np.array(order, np.float64)
            assert spearman(x, y) == pytest.approx(spearman(y, x))
