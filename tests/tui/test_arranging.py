"""What a matrix view shows of rows and columns: orders, filters, pins, sets, units, the walk over cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.tui.arrangement import ColumnOrder, Normalisation, RowFilter, RowOrder
from memscope.tui.finding import Found, find
from memscope.tui.view import MatrixView
from tests.tui.fake import conversation, fake_session, score_now
from tests.tui.test_view import matrix_of, score, view_of

NAN = float("nan")


def named(values: list[list[float]], keys: list[str]) -> MatrixView:
    view = view_of(values)
    view.matrix.keys = tuple(keys)
    view.recompute()
    return view


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        (RowOrder.WEIGHT, [0, 2, 1, 3]),
        (RowOrder.CONVERSATION, [0, 1, 2, 3]),
        (RowOrder.STRONGEST, [1, 0, 2, 3]),
        (RowOrder.FIRST_USE, [1, 2, 0, 3]),
        (RowOrder.KEY, [1, 2, 3, 0]),
    ],
)
def test_rows_stand_in_the_order_asked_for(order: RowOrder, rows: list[int]) -> None:
    view = named(
        [[0.0, 2.0, 3.0], [-7.0, 5.0, 0.0], [2.0, 1.0, 1.0], [NAN] * 3], ["zoo", "Ant", "bee", "cat"]
    )
    view.set_row_order(order)
    assert view.order.tolist() == rows


def test_rows_by_state_begin_with_what_failed_and_end_with_what_is_done() -> None:
    view = view_of([[1.0], [NAN], [NAN], [2.0]])
    view.matrix.set_failed(2, [0], "503")
    view.recompute()
    view.set_row_order(RowOrder.STATE)
    assert view.order.tolist() == [2, 1, 0, 3]


def test_columns_by_dependence_put_unscored_ones_last() -> None:
    view = view_of([[1.0, NAN, 5.0, -3.0], [1.0, NAN, 0.0, 0.0]])
    view.set_column_order(ColumnOrder.DEPENDENCE)
    assert view.columns.tolist() == [2, 0, 3, 1]
    assert view.column_of.tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("row_filter", "rows"),
    [
        (RowFilter.ALL, [0, 1, 2, 3]),
        (RowFilter.ABOVE_NOISE, [0, 1]),
        (RowFilter.NEGATIVE, [1]),
        (RowFilter.UNSCORED, [3]),
    ],
)
def test_a_filter_shows_rows_with_such_a_cell_only(row_filter: RowFilter, rows: list[int]) -> None:
    view = view_of([[9.0, 0.0], [-4.0, 1.0], [0.2, -0.3], [NAN, 0.0]], noise=0.2)
    view.set_row_order(RowOrder.CONVERSATION)
    view.set_filter(row_filter)
    assert view.order.tolist() == rows
    assert [view.row_of[row] >= 0 for row in range(4)] == [row in rows for row in range(4)]


def test_a_prefix_shows_keys_that_begin_so() -> None:
    view = named([[1.0], [2.0], [3.0]], ["home/city", "trip/budget", "home/cat"])
    view.set_filter(RowFilter.ALL, "home/")
    assert [view.keys[row] for row in view.order] == ["home/cat", "home/city"]


def test_a_pinned_row_stays_on_top_whatever_is_sorted_or_filtered() -> None:
    view = named([[9.0], [2.0], [-3.0]], ["a", "b", "c"])
    view.pin(1)
    view.set_filter(RowFilter.NEGATIVE)
    assert (view.order.tolist(), view.frozen) == ([1, 2], 1)
    view.pin(1)
    assert (view.order.tolist(), view.frozen) == ([2], 0)


def test_a_set_left_out_together_is_a_row_of_its_own_above_all_and_adds_to_no_column() -> None:
    view = named([[1.0, 2.0], [3.0, NAN]], ["a", "b"])
    together = matrix_of([[7.0, NAN]])
    view.set_sets([((0, 1), together)])
    assert (view.order.tolist(), view.frozen, view.keys[2]) == ([2, 0, 1], 1, "a + b")
    assert (view.is_set(2), view.members(2), view.members(1)) == (True, (0, 1), (1,))
    assert view.weights.tolist() == [3.0, 3.0, 7.0]
    assert view.dependence.tolist() == [4.0, 2.0]
    assert view.state(2, 1) is CellState.PENDING
    score(together, 0, 1, 5.0)
    view.update([2])
    assert view.weights.tolist() == [3.0, 3.0, 12.0]


@given(
    arrays(np.float64, (5, 4), elements=st.one_of(st.just(np.nan), st.floats(-100, 100, width=32))),
    arrays(np.float64, (5, 4), elements=st.floats(-100, 100, width=32)),
    st.lists(st.integers(0, 4), max_size=4),
)
def test_taking_in_changed_rows_gives_the_sums_that_looking_anew_gives(
    before: np.ndarray, after: np.ndarray, rows: list[int]
) -> None:
    view = MatrixView(fake_session().conversation, matrix_of(before.tolist()), Metric.SIGNED)
    for row in rows:
        for response in range(4):
            score(view.matrix, row, response, float(after[row, response]))
    view.update(rows)
    anew = MatrixView(view.conversation, view.matrix, Metric.SIGNED)
    np.testing.assert_allclose(view.weights, anew.weights, atol=1e-9)
    np.testing.assert_allclose(view.dependence, anew.dependence, atol=1e-9)
    np.testing.assert_array_equal(view.values, anew.values)


def test_nats_a_token_divide_by_the_responses_length_and_an_unknown_length_has_no_number() -> None:
    view = view_of([[6.0, 6.0]])
    view.matrix.tokens[:] = 3, 0
    view.set_normalisation(Normalisation.PER_TOKEN)
    assert view.shown(0, np.arange(2)).tolist()[0] == 2.0
    assert np.isnan(view.shown(0, np.arange(2))[1])
    assert view.extent == 2.0


def test_a_share_is_the_percentage_of_all_sizes_in_the_column() -> None:
    view = view_of([[6.0], [-2.0], [NAN]])
    view.set_normalisation(Normalisation.SHARE)
    shares = [float(view.shown(row, np.arange(1))[0]) for row in range(3)]
    assert shares[:2] == [75.0, -25.0]
    assert np.isnan(shares[2])
    assert view.extent == 100.0


def test_what_is_nothing_in_nats_is_nothing_in_every_unit() -> None:
    view = view_of([[0.009]])
    view.set_normalisation(Normalisation.SHARE)
    assert view.codes(0, np.arange(1)).tolist() == [view.scale.zero]


def test_the_walk_goes_through_all_cells_that_matter_from_strong_to_weak_and_back() -> None:
    view = view_of([[5.0, -9.0, 0.001], [5.0, NAN, 2.0]])
    walk: list[tuple[int, int]] = []
    cell = view.strongest_after(None, 1)
    while cell is not None:
        walk.append(cell)
        cell = view.strongest_after(cell, 1)
    assert [abs(view.values[cell]) for cell in walk] == [9.0, 5.0, 5.0, 2.0]
    assert len(set(walk)) == 4
    back = [view.strongest_after(cell, -1) for cell in reversed(walk)]
    assert back == [*reversed(walk[:-1]), None]


def test_a_walk_leaves_out_rows_that_are_hidden() -> None:
    view = view_of([[9.0], [-2.0]])
    view.set_filter(RowFilter.NEGATIVE)
    assert view.strongest_after(None, 1) == (1, 0)


def test_words_are_found_in_keys_memories_and_responses_whatever_their_case() -> None:
    session = score_now(fake_session(conversation(3, 4)))
    view = MatrixView(session.conversation, session.matrix, Metric.SIGNED)
    assert find(view, "MEMORY-01").shown(view) == [Found(1, None)]
    assert find(view, "train to lyon").shown(view) == [Found(row, None) for row in view.order.tolist()]
    assert find(view, "answer 3").shown(view) == [Found(None, 2)]
    assert find(view, "nowhere").shown(view) == []


def test_settings_bring_back_how_a_matrix_was_shown() -> None:
    view = view_of([[1.0, -4.0], [2.0, 2.0]])
    view.set_metric(Metric.CLAMPED)
    view.set_row_order(RowOrder.KEY)
    view.set_column_order(ColumnOrder.DEPENDENCE)
    other = view_of([[1.0, -4.0], [2.0, 2.0]])
    other.use(view.settings)
    assert other.settings == view.settings
    assert other.columns.tolist() == view.columns.tolist()


def test_a_metric_that_a_matrix_has_not_is_left_aside() -> None:
    view = view_of([[1.0]])
    view.set_metric(Metric.TOKEN_CLAMPED)
    totals = ScoreMatrix(["a"], [0], np.ones((1, 1), bool), per_token=False)
    other = MatrixView(view.conversation, totals, Metric.SIGNED)
    other.use(view.settings)
    assert other.metric is Metric.SIGNED
