"""How much a scorer differs from itself: measured by scoring the baseline again, unless it is exact."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memscope.errors import ScorerError
from memscope.export import to_json
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session
from tests.scorers_fake import TALK, HashScorer, conversation, prepared, scored

TALKED = conversation(*TALK)
OFFSETS = (0.0, 0.25, -0.5)
"""Nats by which the first token of each response differs each time that the baseline is scored."""
SPREAD = 0.75


def moved(score: SpanScore, nats: float) -> SpanScore:
    """A score whose first token has so many nats more."""
    logprobs = score.logprobs.copy()
    logprobs[0] += nats
    return SpanScore(score.span, logprobs)


class Noisy:
    """An `answer` that moves each baseline by the next of the offsets, and fails those it is told to."""

    def __init__(self, *fails: int, offsets: tuple[float, ...] = OFFSETS) -> None:
        """`fails` are times that the baseline is scored, from 0; each is failed for good."""
        self.fails = fails
        self.offsets = offsets
        self.seen: list[ScoreRequest] = []

    def __call__(self, number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
        if not request.keep:
            return score
        if not any(request is earlier for earlier in self.seen):
            self.seen.append(request)
        time = len(self.seen) - 1
        if time in self.fails:
            raise ScorerError("no", final=True)
        return moved(score, self.offsets[time])


def noisy(*fails: int, offsets: tuple[float, ...] = OFFSETS) -> HashScorer:
    return HashScorer(exact=False, noise_floor=math.nan, answer=Noisy(*fails, offsets=offsets))


def baselines(scorer: HashScorer) -> int:
    """How often the baseline was asked for."""
    return sum(request.keep for request in scorer.requests)


def document(session: Session) -> Any:
    return json.loads(to_json(session))


def test_the_baseline_is_scored_three_times(tmp_path: Path) -> None:
    scorer = noisy()
    scored(TALKED, tmp_path, scorer)
    assert baselines(scorer) == 3


def test_the_spread_is_the_noise_of_each_response(tmp_path: Path) -> None:
    session = scored(TALKED, tmp_path, noisy())
    assert session.matrix.noise.tolist() == pytest.approx([SPREAD] * 3, abs=1e-5)
    assert session.noise_floor == pytest.approx(SPREAD, abs=1e-5)
    assert [each["noise"] for each in document(session)["responses"]] == pytest.approx([SPREAD] * 3, abs=1e-5)


def test_the_first_time_is_what_is_compared_with(tmp_path: Path) -> None:
    noiseless, session = scored(TALKED, tmp_path / "a"), scored(TALKED, tmp_path / "b", noisy())
    ours, theirs = (one.matrix.values(Metric.SIGNED) for one in (session, noiseless))
    assert np.allclose(ours, theirs, equal_nan=True)


def test_cells_below_three_times_the_noise_are_within_it(tmp_path: Path) -> None:
    session = scored(TALKED, tmp_path, noisy())
    values, within = session.matrix.values(Metric.SIGNED), session.matrix.within_noise(Metric.SIGNED)
    done = session.matrix.states == CellState.SCORED
    assert within[done].tolist() == (np.abs(values[done]) < 3 * SPREAD).tolist()
    assert within[done].any()
    assert not within[done].all()
    assert not within[~done].any()


def test_a_second_run_asks_for_nothing(tmp_path: Path) -> None:
    first = scored(TALKED, tmp_path, noisy())
    scorer = noisy()
    again = prepared(TALKED, tmp_path, scorer)
    assert again.tokens_missing() == 0
    assert again.matrix.noise.tolist() == first.matrix.noise.tolist()
    again.close()
    assert scored(TALKED, tmp_path, scorer).matrix.noise.tolist() == first.matrix.noise.tolist()
    assert scorer.requests == []


def test_scoring_everything_again_measures_it_again(tmp_path: Path) -> None:
    scored(TALKED, tmp_path, noisy())
    scorer = noisy(offsets=(0.0, 0.0, 0.0))
    assert scored(TALKED, tmp_path, scorer, fresh=True).matrix.noise.tolist() == pytest.approx([0.0] * 3)
    assert baselines(scorer) == 3


def test_an_exact_scorer_has_its_own_floor_and_scores_the_baseline_once(tmp_path: Path) -> None:
    scorer = HashScorer(noise_floor=1e-4)
    session = scored(TALKED, tmp_path, scorer)
    assert session.matrix.noise.tolist() == [1e-4] * 3
    assert baselines(scorer) == 1


@pytest.mark.parametrize("fails", [(1,), (2,), (1, 2)])
def test_where_a_repetition_fails_the_noise_is_unknown_and_not_nothing(
    tmp_path: Path, fails: tuple[int, ...]
) -> None:
    session = scored(TALKED, tmp_path, noisy(*fails))
    assert np.isnan(session.matrix.noise).all()
    assert session.noise_floor is None
    assert not session.matrix.within_noise(Metric.SIGNED).any()
    found = document(session)
    assert found["noise_floor"] is None
    assert [each["noise"] for each in found["responses"]] == [None] * 3


def test_where_a_repetition_fails_the_rows_are_scored_all_the_same(tmp_path: Path) -> None:
    session = scored(TALKED, tmp_path, noisy(1))
    assert session.matrix.errors == {}
    assert session.matrix.count(CellState.SCORED) == 5


def test_a_repetition_that_failed_is_made_up_for_by_the_next_run(tmp_path: Path) -> None:
    scored(TALKED, tmp_path, noisy(2))
    scorer = noisy(offsets=(-0.5,))
    session = scored(TALKED, tmp_path, scorer)
    assert session.matrix.noise.tolist() == pytest.approx([SPREAD] * 3, abs=1e-5)
    assert len(scorer.requests) == 1


def test_the_noise_of_totals_is_measured_too(tmp_path: Path) -> None:
    def total(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
        noise = answer(number, request, score)
        return SpanScore(score.span, noise.logprobs.sum(keepdims=True))

    answer = Noisy()
    scorer = HashScorer(exact=False, noise_floor=math.nan, per_token=False, answer=total)
    assert scored(TALKED, tmp_path, scorer).matrix.noise.tolist() == pytest.approx([SPREAD] * 3, abs=1e-4)
