"""Divergences, weights and dependence by the definitions, and numbers only where there are any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memscope.scoring.matrix import CellState, Metric, ScoreMatrix

LOGPROBS = arrays(np.float32, 5, elements=st.floats(-50, 0, width=32))
EVERY_METRIC = pytest.mark.parametrize("metric", Metric)


def matrix(memories: int = 3, responses: int = 4) -> ScoreMatrix:
    """Memory m enters before response m."""
    possible = np.arange(memories)[:, None] <= np.arange(responses)[None, :]
    return ScoreMatrix([f"m{m}" for m in range(memories)], range(10, 10 + responses), possible)


def score(scores: ScoreMatrix, memory: int, response: int, *drops: float) -> None:
    """Score a cell whose tokens drop by these nats."""
    with_all = np.full(len(drops), -1.0, np.float32)
    scores.set_scored(memory, response, with_all, with_all - np.array(drops, np.float32))


@given(LOGPROBS, LOGPROBS)
def test_the_metrics_follow_their_definitions(
    with_all: "np.ndarray[tuple[int], np.dtype[np.float32]]",
    without: "np.ndarray[tuple[int], np.dtype[np.float32]]",
) -> None:
    scores = matrix()
    scores.set_scored(0, 1, with_all, without)
    drops = [float(b) - float(w) for b, w in zip(with_all, without, strict=True)]
    assert scores.values(Metric.SIGNED)[0, 1] == pytest.approx(sum(drops), abs=1e-9)
    assert scores.values(Metric.CLAMPED)[0, 1] == pytest.approx(max(0.0, sum(drops)), abs=1e-9)
    assert scores.values(Metric.TOKEN_CLAMPED)[0, 1] == pytest.approx(
        sum(max(0.0, drop) for drop in drops), abs=1e-9
    )


def test_a_memory_that_hurts_is_negative_in_the_signed_metric_alone() -> None:
    scores = matrix()
    score(scores, 0, 0, 1.0, -3.0)
    assert [scores.values(metric)[0, 0] for metric in Metric] == [-2.0, 0.0, 1.0]


@EVERY_METRIC
def test_only_scored_cells_have_a_number(metric: Metric) -> None:
    scores = matrix()
    score(scores, 0, 0, 2.0)
    scores.set_running(0, [1])
    scores.set_failed(0, [2], "no")
    values = scores.values(metric)
    assert values[0, 0] == 2.0
    assert np.isnan(values).sum() == values.size - 1


@EVERY_METRIC
def test_weight_and_dependence_sum_scored_cells_only(metric: Metric) -> None:
    scores = matrix()
    score(scores, 0, 1, 2.0)
    score(scores, 0, 3, 0.5)
    score(scores, 1, 3, 1.0)
    scores.set_failed(0, [0, 2], "no")
    scores.set_running(1, [1])
    assert scores.weights(metric).tolist() == pytest.approx([2.5, 1.0, np.nan], nan_ok=True)
    assert scores.dependence(metric).tolist() == pytest.approx([np.nan, 2.0, np.nan, 1.5], nan_ok=True)


def test_important_are_divergences_above_a_hundredth_largest_first() -> None:
    scores = matrix(5, 5)
    for memory, drop in enumerate([0.01, 0.02, 3.0, -5.0]):
        score(scores, memory, 4, drop)
    memories, values = zip(*scores.important(4, Metric.SIGNED), strict=True)
    assert memories == (2, 1)
    assert values == pytest.approx((3.0, 0.02))
    assert scores.important(0, Metric.SIGNED) == []


def test_cells_start_pending_or_impossible() -> None:
    scores = matrix(2, 2)
    assert scores.states.tolist() == [
        [CellState.PENDING, CellState.PENDING],
        [CellState.IMPOSSIBLE, CellState.PENDING],
    ]
    assert scores.count(CellState.PENDING) == 3


def test_a_failed_row_keeps_what_is_scored_and_knows_why() -> None:
    scores = matrix()
    score(scores, 0, 0, 1.0)
    scores.set_running(0, [1, 2])
    scores.set_failed(0, [0, 1, 2], "the server fell over")
    assert scores.states[0].tolist() == [
        CellState.SCORED,
        CellState.FAILED,
        CellState.FAILED,
        CellState.PENDING,
    ]
    assert scores.errors == {0: "the server fell over"}


def test_failing_nothing_leaves_no_reason() -> None:
    scores = matrix()
    score(scores, 0, 0, 1.0)
    scores.set_failed(0, [0], "no")
    scores.set_failed(1, [], "no")
    assert scores.errors == {}


def test_failed_cells_can_be_tried_again() -> None:
    scores = matrix()
    scores.set_failed(0, [1], "no")
    scores.retry_failed()
    assert scores.states[0, 1] == CellState.PENDING
    assert scores.errors == {}


def test_running_cells_are_pending_once_the_run_is_over() -> None:
    scores = matrix()
    scores.set_running(1, [1, 2])
    scores.stop_running()
    assert scores.count(CellState.RUNNING) == 0
    assert scores.states[1, 1] == CellState.PENDING


def test_clearing_forgets_numbers_and_reasons_but_not_what_is_impossible() -> None:
    scores = matrix(2, 2)
    score(scores, 0, 0, 1.0)
    scores.baseline[:] = -3.0
    scores.set_failed(1, [1], "no")
    scores.clear()
    assert scores.states.tolist() == matrix(2, 2).states.tolist()
    assert scores.errors == {}
    for metric in Metric:
        assert np.isnan(scores.values(metric)).all()
    assert np.isnan(scores.baseline).all()


@pytest.mark.parametrize(
    ("states", "row"),
    [
        ([CellState.SCORED, CellState.FAILED, CellState.RUNNING], CellState.FAILED),
        ([CellState.SCORED, CellState.RUNNING, CellState.PENDING], CellState.RUNNING),
        ([CellState.SCORED, CellState.PENDING, CellState.IMPOSSIBLE], CellState.PENDING),
        ([CellState.IMPOSSIBLE, CellState.SCORED, CellState.SCORED], CellState.SCORED),
        ([CellState.IMPOSSIBLE, CellState.IMPOSSIBLE, CellState.IMPOSSIBLE], CellState.IMPOSSIBLE),
    ],
)
def test_a_row_stands_as_its_worst_cell(states: list[CellState], row: CellState) -> None:
    scores = matrix(1, 3)
    scores.states[0] = states
    assert scores.row_state(0) == row


@pytest.mark.parametrize(("memories", "responses"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_matrix_has_empty_sums(memories: int, responses: int) -> None:
    scores = matrix(memories, responses)
    for metric in Metric:
        assert scores.weights(metric).shape == (memories,)
        assert scores.dependence(metric).shape == (responses,)
    assert scores.count(CellState.SCORED) == 0
