"""Responses with all memories: their log-probabilities, and what scoring them again says of noise."""

import asyncio
from collections.abc import Container

import numpy as np

from memscope.scorers.base import LogProbs, Scorer
from memscope.scoring.matrix import ScoreMatrix

_REPEATS = 2
"""How often the baseline is scored again, to see how much a scorer that is not exact differs from itself."""


class Baselines:
    """The baselines of a run, as they come; their totals and noise go to its matrix.

    `known` holds each response's log-probabilities [t], in nats, or their sum [1]; `repeats` are the
    repetitions of the baseline that the scorer needs, numbered from 1.
    """

    def __init__(self, scorer: Scorer, matrix: ScoreMatrix) -> None:
        self.known: dict[int, LogProbs] = {}
        self.repeats = range(1, 1 if scorer.exact else 1 + _REPEATS)
        self._scorer = scorer
        self._matrix = matrix
        self._again: dict[tuple[int, int], float] = {}
        """Log-probability of a response in a repetition of the baseline."""

    def lacks(self, response: int, repeat: int = 0) -> bool:
        """Whether a response's baseline, or a repetition of it, has no number yet."""
        return (response, repeat) not in self._again if repeat else response not in self.known

    def add(self, response: int, logprobs: LogProbs, repeat: int = 0) -> None:
        """Take a response's baseline, or a repetition of it, and what noise that shows."""
        total = float(logprobs.sum(dtype=np.float64))
        if repeat:
            self._again[response, repeat] = total
        else:
            self.known[response] = logprobs
            self._matrix.baseline[response] = total
        if self._scorer.exact:
            self._matrix.noise[response] = self._scorer.noise_floor
        elif not any(self.lacks(response, number) for number in (0, *self.repeats)):
            again = (self._again[response, number] for number in self.repeats)
            totals = [self._matrix.baseline[response], *again]
            self._matrix.noise[response] = max(totals) - min(totals)

    def forget(self, responses: Container[int]) -> None:
        """Forget what is known of these responses; the matrix forgets by itself."""
        self.known = {r: known for r, known in self.known.items() if r not in responses}
        self._again = {key: known for key, known in self._again.items() if key[0] not in responses}


class WindowBaseline:
    """Whether a window's baseline is `known`, or why not, and how many tokens of it its rows share."""

    def __init__(self, reach: int) -> None:
        self.known = asyncio.Event()
        self.reach = reach
        self.reason = "the scorer gave no baseline"
