"""What the Training screen shows of its candidates: their order, which pass the filter, which are chosen."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from memscope.scoring.candidates import Candidate, chosen

LEAST: tuple[float | None, ...] = (None, 0.0, 0.1, 1.0, 10.0)
"""Filters: all responses, or those with more than so many nats and more than noise."""


class CandidateOrder(StrEnum):
    """How candidates are ordered."""

    DIVERGENCE = "by divergence"
    PER_TOKEN = "by divergence a token"
    CONVERSATION = "in order"


class CandidatesView:
    """Candidates of one conversation in one order; those chosen are known by their responses' indexes."""

    def __init__(self) -> None:
        self.order = CandidateOrder.DIVERGENCE
        self.above: float | None = None
        """Only those with more than so many nats and more than noise are shown; all if None."""
        self.chosen: set[int] = set()
        self.all: Sequence[Candidate] = ()
        """Largest divergence first."""
        self.shown: list[Candidate] = []
        self.largest = 0.0
        """The size in nats of the largest divergence."""

    def show(self, candidates: Sequence[Candidate]) -> None:
        """Show these, largest divergence first."""
        self.all = candidates
        self.largest = max(
            (abs(one.divergence) for one in candidates if one.divergence is not None), default=0.0
        )
        self.arrange()

    def arrange(self) -> None:
        """Choose and order what is shown."""
        self.shown = list(self.all) if self.above is None else chosen(self.all, None, self.above)
        if self.order is CandidateOrder.CONVERSATION:
            self.shown.sort(key=lambda one: one.response)
        elif self.order is CandidateOrder.PER_TOKEN:
            self.shown.sort(key=lambda one: np.inf if (each := per_token(one)) is None else -each)

    def set_order(self, order: CandidateOrder) -> None:
        """Order otherwise."""
        self.order = order
        self.arrange()

    def next_order(self) -> None:
        """Order otherwise, after the last order by the first again."""
        orders = list(CandidateOrder)
        self.set_order(orders[(orders.index(self.order) + 1) % len(orders)])

    def set_filter(self, above: float | None) -> None:
        """Show only what has more nats, or all if None."""
        self.above = above
        self.arrange()

    def next_filter(self) -> None:
        """Show only what has more nats, after the strictest all again."""
        self.set_filter(LEAST[(LEAST.index(self.above) + 1) % len(LEAST)])

    def toggle(self, response: int) -> None:
        """Choose a response, or no longer."""
        self.chosen ^= {response}

    def choose_all(self) -> None:
        """Choose what is worth training on: more than noise, and more than the filter's nats."""
        self.chosen |= {candidate.response for candidate in self._worth}

    def keep(self, responses: int) -> None:
        """Only the first `responses` responses are still the same."""
        self.chosen = {response for response in self.chosen if response < responses}

    @property
    def to_write(self) -> list[Candidate]:
        """The chosen, or if none is what `choose_all` would choose; largest divergence first."""
        if not self.chosen:
            return self._worth
        return [candidate for candidate in self.all if candidate.response in self.chosen]

    @property
    def _worth(self) -> list[Candidate]:
        return chosen(self.all, None, self.above or 0.0)


def per_token(candidate: Candidate) -> float | None:
    """Nats a token; None unless scored."""
    return None if candidate.divergence is None else candidate.divergence / max(1, candidate.tokens)
