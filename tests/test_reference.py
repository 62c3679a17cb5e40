"""The demo scored by the embedded model, held against transformers + torch (see benchmarks/reference.py)."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.npyio import NpzFile

from memscope.demo import demo_path
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session

FIXTURE = Path(__file__).parent / "fixtures" / "demo_reference.npz"


@pytest.fixture(scope="module")
def reference() -> Iterator[NpzFile]:
    with np.load(FIXTURE) as arrays:
        yield arrays


def responses(session: Session) -> list[tuple[int, int]]:
    return list(enumerate(session.conversation.responses))


def logprobs(
    session: Session, memory: int | None, response: int
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    assert session.run is not None
    found = asyncio.run(session.run.logprobs(memory, response))
    assert found is not None
    return found


def test_the_reference_is_of_this_demo(reference: NpzFile) -> None:
    assert str(reference["sha256"]) == hashlib.sha256(demo_path().read_bytes()).hexdigest()


def test_the_demo_scores_the_tokens_that_the_model_itself_would_read(
    demo: Session, reference: NpzFile
) -> None:
    assert demo.plan is not None
    prompt = demo.plan.prompt
    for response, entry in responses(demo):
        assert prompt.ids[prompt.responses[response]].tolist() == reference[f"baseline/{entry}"].tolist()


def test_every_token_agrees_within_a_thousandth_of_a_nat(demo: Session, reference: NpzFile) -> None:
    for response, entry in responses(demo):
        assert logprobs(demo, None, response) == pytest.approx(reference[f"logprobs/{entry}"], abs=1e-3)
        for memory in range(len(demo.matrix.keys)):
            if demo.matrix.states[memory, response] == CellState.SCORED:
                without = reference[f"without/{memory}/{entry}"]
                assert logprobs(demo, memory, response) == pytest.approx(without, abs=1e-3)


@pytest.mark.parametrize("metric", list(Metric))
def test_every_cell_agrees_within_a_hundredth_of_a_nat(
    demo: Session, reference: NpzFile, metric: Metric
) -> None:
    for response, entry in responses(demo):
        for memory, value in enumerate(demo.matrix.values(metric)[:, response]):
            if f"without/{memory}/{entry}" not in reference:
                assert demo.matrix.states[memory, response] == CellState.IMPOSSIBLE
                assert np.isnan(value)
                continue
            drop = reference[f"logprobs/{entry}"].astype(float) - reference[f"without/{memory}/{entry}"]
            expected = {
                Metric.SIGNED: drop.sum(),
                Metric.CLAMPED: max(0.0, drop.sum()),
                Metric.TOKEN_CLAMPED: np.maximum(drop, 0).sum(),
            }
            assert value == pytest.approx(expected[metric], abs=1e-2)


def test_the_demo_computes_exactly_the_tokens_of_the_formula(demo: Session) -> None:
    """T + sum(T - p_i - l_i), with T, p_i and l_i read off the owners of the tokens."""
    assert demo.plan is not None
    assert demo.run is not None
    owners = demo.plan.prompt.memory
    places = [np.flatnonzero(owners == memory) for memory in range(len(demo.matrix.keys))]
    exact = len(owners) + sum(len(owners) - int(place[0]) - len(place) for place in places)
    naive = len(owners) + sum(len(owners) - len(place) for place in places)
    assert demo.run.tokens_computed == demo.plan.cost.tokens_needed == exact
    assert demo.plan.cost.tokens_naive == naive
