"""What is drawn of a matrix, computed without a widget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.tui.arrangement import RowOrder
from memscope.tui.theme import DIGITS, SHADES
from memscope.tui.view import MatrixView
from tests.tui.fake import SILENCE


def matrix_of(values: list[list[float]]) -> ScoreMatrix:
    """A matrix with these signed divergences; NaN stays pending."""
    table = np.array(values)
    matrix = ScoreMatrix(
        [f"m{n}" for n in range(len(values))], range(table.shape[1]), np.full(table.shape, True)
    )
    for (memory, response), value in np.ndenumerate(table):
        if not np.isnan(value):
            score(matrix, int(memory), int(response), float(value))
    return matrix


def score(matrix: ScoreMatrix, memory: int, response: int, value: float) -> None:
    matrix.set_scored(memory, response, np.array([value], np.float32), np.zeros(1, np.float32))


def view_of(values: list[list[float]], noise: float = 0.0001) -> MatrixView:
    matrix = matrix_of(values)
    matrix.noise[:] = noise
    return MatrixView(SILENCE, matrix, Metric.SIGNED)


def text(view: MatrixView, memory: int, response: int) -> str:
    return view.scale.texts[int(codes(view, memory)[response])]


def codes(view: MatrixView, row: int) -> NDArray[np.uint8]:
    return view.codes(row, np.arange(view.matrix.shape[1]))


def test_the_range_is_a_round_number_at_or_above_the_largest_divergence_of_a_small_matrix() -> None:
    assert view_of([[3.2, -0.4]]).extent == 5.0
    assert view_of([[-11.0, 0.4]]).extent == 20.0
    assert view_of([[0.5, 0.2]]).extent == 0.5


def test_a_single_spike_among_many_values_does_not_set_the_range() -> None:
    values = [[1.5] * 200, [1.0] * 199 + [400.0]]
    view = view_of(values)
    assert view.extent == 2.0
    assert text(view, 1, 199) == "██"


def test_nothing_scored_has_no_range_and_every_cell_is_pending() -> None:
    view = view_of([[float("nan")] * 3])
    assert view.extent is None
    assert (codes(view, 0) == CellState.PENDING).all()


@pytest.mark.parametrize(
    ("share", "glyph"),
    [(1.0, "██"), (0.5, "▓▓"), (0.2, "▒▒"), (0.05, "░░"), (-0.05, "╌╌"), (-0.2, "──"), (-1.0, "≡≡")],
)
def test_shades_tell_size_and_sign_apart(share: float, glyph: str) -> None:
    view = view_of([[share * 10, 10.0]])
    assert text(view, 0, 0) == glyph


@pytest.mark.parametrize(
    ("value", "glyph"), [(7.4, "+7"), (-3.0, "-3"), (0.4, "+0"), (-0.4, "-0"), (25.0, "+9")]
)
def test_digits_are_tenths_of_the_range_with_their_sign(value: float, glyph: str) -> None:
    view = view_of([[value] + [10.0] * 99])
    view.set_scale(DIGITS)
    assert view.extent == 10.0
    assert text(view, 0, 0) == glyph


@pytest.mark.parametrize("scale", [SHADES, DIGITS])
def test_no_two_codes_of_a_scale_that_can_meet_look_alike(scale: object) -> None:
    texts = list(SHADES.texts if scale is SHADES else DIGITS.texts)
    del texts[CellState.SCORED]
    assert len(set(texts)) == len(texts)


def test_a_divergence_below_three_times_the_noise_is_drawn_as_noise() -> None:
    view = view_of([[1.4, -1.4, 0.005, 1.6, 5.0]], noise=0.5)
    assert [text(view, 0, r) for r in range(3)] == ["~ ", "~ ", "· "]
    assert "~ " not in [text(view, 0, r) for r in (3, 4)]


def test_while_the_noise_is_unknown_nothing_is_drawn_as_noise() -> None:
    view = view_of([[0.3, 5.0]], noise=np.nan)
    assert "~ " not in [text(view, 0, r) for r in range(2)]


def test_what_may_be_noise_has_no_rank_and_does_not_set_the_range() -> None:
    view = view_of([[1.4], [0.2]], noise=0.5)
    assert [(each.memory, each.matters, each.rank) for each in view.ranking(0)] == [
        (0, False, None),
        (1, False, None),
    ]
    assert view.extent == 1.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_codes_keep_the_sign_and_the_order_of_the_values(values: list[float]) -> None:
    view = view_of([values])
    signed = view.matrix.values(Metric.SIGNED)[0]
    levels = codes(view, 0).astype(int) - view.scale.zero
    assert (np.sign(levels) * np.sign(signed) >= 0).all()
    assert (np.diff(levels[np.argsort(signed, kind="stable")]) >= 0).all()


def test_rows_stand_by_weight_and_unscored_ones_last_in_their_own_order() -> None:
    nan = float("nan")
    view = view_of([[1.0], [nan], [7.0], [nan], [-2.0]])
    assert view.order.tolist() == [2, 0, 4, 1, 3]
    assert view.row_of.tolist() == [1, 3, 0, 4, 2]


def test_rows_can_stand_as_in_the_conversation() -> None:
    view = view_of([[1.0], [7.0]])
    view.set_row_order(RowOrder.CONVERSATION)
    assert view.order.tolist() == [0, 1]


def test_rows_move_only_when_one_has_finished() -> None:
    nan = float("nan")
    view = view_of([[1.0, 1.0], [nan, nan]])
    view.matrix.set_running(1, [0, 1])
    score(view.matrix, 1, 0, 9.0)
    view.update([1])
    assert view.order.tolist() == [0, 1]
    assert view.weights.tolist() == [2.0, 9.0]
    score(view.matrix, 1, 1, 9.0)
    view.update([1])
    assert view.order.tolist() == [1, 0]


def test_the_range_only_widens_while_values_come_in() -> None:
    view = view_of([[8.0, float("nan")]])
    score(view.matrix, 0, 1, 0.5)
    view.update([0])
    assert view.extent == 10.0
    score(view.matrix, 0, 1, 90.0)
    view.update([0])
    assert view.extent == 100.0
    assert text(view, 0, 0) == "▒▒"


def test_an_update_raises_the_version_of_the_changed_rows_alone() -> None:
    view = view_of([[8.0, 1.0], [3.0, 1.0]])
    before = view.versions.copy()
    score(view.matrix, 1, 1, 2.0)
    view.update([1])
    assert (view.versions - before).tolist() == [0, 1]


def test_another_metric_changes_values_and_range_and_comes_round_again() -> None:
    view = view_of([[-8.0, 1.0]])
    seen = []
    for _ in Metric:
        view.set_metric(view.next_metric())
        seen.append((view.metric, view.extent))
    assert seen == [(Metric.CLAMPED, 1.0), (Metric.TOKEN_CLAMPED, 1.0), (Metric.SIGNED, 10.0)]


def test_a_column_ranks_important_memories_then_those_against_it_then_the_rest_then_the_unscored() -> None:
    nan = float("nan")
    view = view_of([[0.0], [2.0], [nan], [-5.0], [9.0], [-0.5], [0.004]])
    ranking = view.ranking(0)
    assert [each.memory for each in ranking] == [4, 1, 3, 5, 6, 0, 2]
    assert [each.rank for each in ranking] == [1, 2, None, None, None, None, None]
    assert ranking[-1].state is CellState.PENDING


def test_a_memory_that_enters_later_is_not_ranked() -> None:
    matrix = ScoreMatrix(["early", "late"], [0], np.array([[True], [False]]))
    assert [each.memory for each in MatrixView(SILENCE, matrix, Metric.SIGNED).ranking(0)] == [0]


def test_a_place_in_a_column_counts_scored_cells_only() -> None:
    view = view_of([[1.0], [3.0], [float("nan")]])
    assert view.place_in_column(0, 0) == (2, 2)


def test_a_matrix_without_memories_or_responses_has_a_view() -> None:
    empty = ScoreMatrix([], [], np.zeros((0, 0), bool))
    assert MatrixView(SILENCE, empty, Metric.SIGNED).order.tolist() == []
