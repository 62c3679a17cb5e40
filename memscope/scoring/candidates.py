"""Responses as candidates for training: those that are far less probable without any memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from memscope.scoring.matrix import CellState, Metric, ScoreMatrix


@dataclass(frozen=True)
class Candidate:
    """A response, by its index and its entry's, and its divergence in nats without any memory; None unless
    scored."""

    response: int
    entry: int
    divergence: float | None
    tokens: int
    within_noise: bool
    state: CellState
    error: str | None


def candidates(matrix: ScoreMatrix, metric: Metric, responses: Iterable[int]) -> tuple[Candidate, ...]:
    """These responses by their numbers in the first row of a matrix: largest divergence first, those without
    one last."""
    values, noise = matrix.values(metric)[0].tolist(), matrix.within_noise(metric)[0].tolist()
    states, tokens = matrix.states[0].tolist(), matrix.tokens.tolist()
    found = [
        Candidate(
            response,
            matrix.responses[response],
            values[response] if states[response] == CellState.SCORED else None,
            tokens[response],
            noise[response],
            CellState(states[response]),
            matrix.errors.get(0) if states[response] == CellState.FAILED else None,
        )
        for response in responses
    ]
    found.sort(key=lambda candidate: np.inf if candidate.divergence is None else -candidate.divergence)
    return tuple(found)


def chosen(candidates: Sequence[Candidate], top: int | None, above: float) -> list[Candidate]:
    """Those of sorted candidates to train on: the `top` first, or all, whose divergence is more than `above`
    nats and more than noise."""
    return [
        candidate
        for candidate in candidates
        if candidate.divergence is not None and candidate.divergence > above and not candidate.within_noise
    ][:top]
