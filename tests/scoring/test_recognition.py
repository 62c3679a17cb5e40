"""Another model served under the same name: never mixed with the one before it."""

import numpy as np
import pytest

from memscope.scorers.base import LogProbs
from memscope.scorers.probe import SCORED
from memscope.scoring.recognition import recognise
from memscope.store import Store
from tests.scorers_fake import HashScorer


def signature(shift: float = 0.0) -> LogProbs:
    return np.linspace(-3.0, -0.1, SCORED, dtype=np.float32) + np.float32(shift)


def test_a_scorer_without_a_signature_is_what_its_fingerprint_says(store: Store) -> None:
    assert recognise(HashScorer(), store) == "hash 1"


def test_a_model_is_recognised_through_its_noise(store: Store) -> None:
    first = recognise(HashScorer(signature=signature()), store)
    assert recognise(HashScorer(signature=signature(0.2)), store) == first


def test_another_model_under_the_same_name_has_another_fingerprint(store: Store) -> None:
    first = recognise(HashScorer(signature=signature()), store)
    assert recognise(HashScorer(signature=signature(-1.0)), store) != first


def test_a_model_that_comes_back_is_recognised(store: Store) -> None:
    names = [
        recognise(HashScorer(signature=signature(shift)), store) for shift in (0.0, -1.0, -2.0, 0.1, -1.9)
    ]
    assert names[3] == names[0]
    assert names[4] == names[2]
    assert len(set(names)) == 3


@pytest.mark.parametrize("total", [np.float32(-30.0), np.float32(-34.0)])
def test_totals_are_compared_like_as_many_tokens(store: Store, total: np.float32) -> None:
    first = recognise(HashScorer(signature=np.array([-31.0], np.float32)), store)
    again = recognise(HashScorer(signature=np.array([total])), store)
    assert (again == first) == (abs(float(total) + 31.0) <= 2.5)
