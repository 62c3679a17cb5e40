"""Memories left out together: the divergence of a set of them at a response, beside the sum of their own."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memscope.prompt import Prompt
from memscope.scoring.matrix import NOISE_FACTOR, CellState, Metric, ScoreMatrix, number
from memscope.scoring.run import Run

Memories = tuple[int, ...]
"""The indexes of memories that are left out together, rising."""
LEAST = 2.0
"""Nats of interaction, and of joint divergence, from which memories are said to hide each other: the response
is 7 times less likely without them. Less is common by chance where a pair meets in many responses."""
SHARE = 0.5
"""The share of the joint divergence that interaction must be for that: twice the sum of their own."""

_LOOKED_AT = 64
"""Responses, those whose masks drop most beyond their rows, of which interactions are estimated at most."""


@dataclass(frozen=True)
class Wanted:
    """A set of memories to leave out, what to call that, and the responses at which it is wanted."""

    name: str
    memories: Memories
    responses: tuple[int, ...]


@dataclass(frozen=True)
class Joint:
    """Several memories left out together, beside the sum of their own divergences, in signed nats.

    At a `response` (its index, and its entry's), or, if that is None, summed over responses. `interaction` is
    `together - apart`, and `noise` its noise; None where something it needs is not scored. `hidden` says that
    the memories hide each other: together they drop at least `LEAST` nats, and the interaction is above
    noise, no less than `LEAST` nats, and no less than `SHARE` of what they drop.
    """

    response: int | None
    entry: int | None
    together: float | None
    apart: float | None
    interaction: float | None
    noise: float | None
    hidden: bool


@dataclass(frozen=True)
class Pair:
    """Two memories left out together: summed over all responses that see both, without those `missing` a
    score, and at the response where their interaction is the strongest, one where they hide each other if
    there is any. `redundant` says that they do so there or in all."""

    keys: tuple[str, str]
    total: Joint
    strongest: Joint | None
    missing: int
    redundant: bool


class JointDivergences:
    """What is known of sets of memories at the responses of a matrix, as it stood when this was made.

    `possible` and `complete` say which memories a response can see [M, R], and which responses have a
    baseline and all their possible cells scored [R].
    """

    def __init__(self, matrix: ScoreMatrix) -> None:
        self.keys = matrix.keys
        self.entries = matrix.responses
        self.alone: NDArray[np.float64] = matrix.values(Metric.SIGNED).copy()
        self.noise: NDArray[np.float64] = matrix.noise.copy()
        self.possible: NDArray[np.bool_] = matrix.states != CellState.IMPOSSIBLE
        scored = (matrix.states == CellState.SCORED) | ~self.possible
        self.complete: NDArray[np.bool_] = scored.all(axis=0) & ~np.isnan(matrix.baseline)
        self._together: dict[tuple[Memories, int], float] = {}
        """By the memories that the response can see, and the response."""

    def seen(self, memories: Iterable[int], response: int) -> Memories:
        """Those of these memories that a response can see: leaving out the others changes nothing there."""
        return tuple(memory for memory in memories if self.possible[memory, response])

    def drop(self, memories: Iterable[int], response: int) -> float:
        """The divergence of memories left out together, in nats; NaN while not known."""
        seen = self.seen(memories, response)
        if len(seen) <= 1:
            return self.apart(seen, response)
        return self._together.get((seen, response), math.nan)

    def apart(self, memories: Iterable[int], response: int) -> float:
        """The sum of the memories' own divergences, in nats; NaN unless all are scored."""
        return float(self.alone[list(self.seen(memories, response)), response].sum())

    def joint(self, memories: Memories, response: int) -> Joint:
        """Memories left out together at a response."""
        count = len(self.seen(memories, response))
        # log-probabilities of the interaction, each as noisy: (count - 1) times the baseline, that without
        # all of them, and one without each; a response's noise is that of the two in one divergence
        factor = math.sqrt(((count - 1) ** 2 + 1 + count) / 2) if count > 1 else 0.0
        noise = float(self.noise[response]) * factor
        return _joint(
            self.drop(memories, response),
            self.apart(memories, response),
            noise,
            response,
            self.entries[response],
        )

    def lacking(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """What must be left out to know all of this: a set once, and only at responses that see two or more
        of its memories and do not see the same ones of a set that comes before."""
        met = set(self._together)
        rows: dict[Memories, tuple[str, list[int]]] = {}
        for one in wanted:
            for response in one.responses:
                cell = self.seen(one.memories, response), response
                if len(cell[0]) > 1 and cell not in met:
                    met.add(cell)
                    rows.setdefault(one.memories, (one.name, []))[1].append(response)
        return [Wanted(name, memories, tuple(found)) for memories, (name, found) in rows.items()]

    def take(self, rows: Sequence[Wanted], run: Run) -> None:
        """Take over what a run over these rows has scored."""
        values = run.matrix.values(Metric.SIGNED)
        for row, wanted in enumerate(rows):
            for response in wanted.responses:
                if run.matrix.states[row, response] == CellState.SCORED:
                    cell = self.seen(wanted.memories, response), response
                    self._together[cell] = float(values[row, response])


def summed(joints: Sequence[Joint]) -> Joint:
    """The sum over those responses where everything is known; their noise adds up in squares."""
    known = [joint for joint in joints if joint.interaction is not None]
    if not known:
        return _joint(math.nan, math.nan, math.nan)
    together, apart = (
        sum(value for joint in known if (value := getattr(joint, name)) is not None)
        for name in ("together", "apart")
    )
    noise = [math.nan if joint.noise is None else joint.noise for joint in known]
    return _joint(together, apart, math.sqrt(sum(value**2 for value in noise)))


def _joint(
    together: float, apart: float, noise: float, response: int | None = None, entry: int | None = None
) -> Joint:
    interaction = together - apart
    hidden = together >= LEAST and interaction >= max(LEAST, SHARE * together)
    return Joint(
        response,
        entry,
        number(together),
        number(apart),
        number(interaction),
        number(noise),
        hidden and interaction > NOISE_FACTOR * noise,
    )


def suspects(
    known: JointDivergences, masks: Sequence[Memories], prompt: Prompt, most: int
) -> list[tuple[int, int]]:
    """The pairs of memories that are worth leaving out together, `most` of them, the likeliest first.

    Taken in turn from two rankings: by what the masks say, and by how many tokens their texts share, for the
    masks see only what is large beside everything else that they leave out.
    """
    seen = known.possible.astype(np.float64)
    meet = np.triu(seen @ seen.T > 0, 1)
    by_masks = _ranked(np.where(meet, _interactions(known, masks), -np.inf), LEAST / 2)
    by_words = _ranked(np.where(meet, _overlaps(prompt, len(known.keys)), -np.inf), 0.0)
    in_turn = [pair for both in _zip(by_masks, by_words) for pair in both]
    return list(dict.fromkeys(in_turn))[:most]


def _zip(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    return [[*a[at : at + 1], *b[at : at + 1]] for at in range(max(len(a), len(b)))]


def _ranked(scores: NDArray[np.float64], above: float) -> list[tuple[int, int]]:
    """The cells of a square with more than that, the largest first."""
    order = np.argsort(-scores, axis=None, kind="stable")
    chosen = order[scores.ravel()[order] > above]
    return [divmod(int(at), len(scores)) for at in chosen]


def _interactions(known: JointDivergences, masks: Sequence[Memories]) -> NDArray[np.float64]:
    """For each pair [M, M] the largest interaction in nats at a response, as the masks let it be estimated.

    With x_m = 1 where a mask leaves memory m out, else -1, and e what the mask drops beyond the sum of its
    memories: if e is the sum of the interactions I_ab of the pairs that it leaves out, the covariance of e
    with x_a x_b is I_ab / 4, whatever the other pairs do, but for the chance in so many masks.
    """
    size = len(known.keys)
    out = np.full((len(masks), size), -1.0)
    for mask, memories in enumerate(masks):
        out[mask, list(memories)] = 1.0
    rests = {
        response: np.array([known.drop(m, response) - known.apart(m, response) for m in masks])
        for response in np.flatnonzero(known.complete).tolist()
    }
    rests = {response: rest for response, rest in rests.items() if not np.isnan(rest).all()}
    largest = np.full((size, size), -np.inf)
    for response in sorted(rests, key=lambda response: -np.nanstd(rests[response]))[:_LOOKED_AT]:
        there = ~np.isnan(rests[response])
        rest = rests[response][there]
        signs, seen = out[there], known.possible[:, response]
        estimate = 4 * (signs.T * (rest - rest.mean())) @ signs / len(rest)
        largest = np.maximum(largest, np.where(np.outer(seen, seen), estimate, -np.inf))
    return largest


def _overlaps(prompt: Prompt, size: int) -> NDArray[np.float64]:
    """For each pair [M, M] the share of their tokens that both have, rare ones counting for more."""
    owned = prompt.memory >= 0
    tokens, column = np.unique(prompt.ids[owned], return_inverse=True)
    has = np.zeros((size, len(tokens)))
    has[prompt.memory[owned], column] = 1.0
    weighted = has * np.log((size + 1) / np.maximum(has.sum(axis=0), 1.0))
    both = weighted @ has.T
    either = weighted.sum(axis=1)[:, None] + weighted.sum(axis=1) - both
    overlaps: NDArray[np.float64] = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return overlaps


def pairs_wanted(known: JointDivergences, pairs: Iterable[Memories]) -> list[Wanted]:
    """What must be known of pairs of memories: both left out, at the responses that see both."""
    return [Wanted(" + ".join(_named(known, pair)), pair, _meeting(known, pair)) for pair in pairs]


def pairs_of(known: JointDivergences, pairs: Iterable[Memories]) -> tuple[Pair, ...]:
    """What is known of pairs of memories, redundant ones first, then the largest interaction first."""
    return tuple(sorted((_pair(known, pair) for pair in pairs), key=_largest_first))


def _pair(known: JointDivergences, pair: Memories) -> Pair:
    joints = [known.joint(pair, response) for response in _meeting(known, pair)]
    total, there = summed(joints), [joint for joint in joints if joint.interaction is not None]
    strongest = max(there, key=lambda joint: (joint.hidden, joint.interaction), default=None)
    missing = int(known.possible[list(pair)].all(axis=0).sum()) - len(there)
    redundant = total.hidden or (strongest is not None and strongest.hidden)
    return Pair(_named(known, pair), total, strongest, missing, redundant)


def _largest_first(pair: Pair) -> tuple[bool, float]:
    strongest = pair.strongest
    return not pair.redundant, -(strongest.interaction or 0.0) if strongest is not None else math.inf


def _named(known: JointDivergences, pair: Memories) -> tuple[str, str]:
    return known.keys[pair[0]], known.keys[pair[1]]


def _meeting(known: JointDivergences, pair: Memories) -> tuple[int, ...]:
    """The responses with all their cells scored that see both memories."""
    return tuple(np.flatnonzero(known.possible[list(pair)].all(axis=0) & known.complete).tolist())
