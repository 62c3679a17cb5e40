"""How faithful a scored matrix is, by the field's own figures: top-k drop, LDS, and what redundancy hides.

All of it is in signed log-probability differences, whatever metric the matrix shows. The definitions are
those of ContextCite (Cohen-Wang et al. 2024, arXiv 2409.00729).
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from memscope.scoring.compare import spearman
from memscope.scoring.joint import (
    Joint,
    JointDivergences,
    Memories,
    Pair,
    Wanted,
    pairs_of,
    pairs_wanted,
    summed,
    suspects,
)
from memscope.scoring.matrix import NOISE_FACTOR, CellState, number
from memscope.scoring.modes import Spent, cells_of, spent_on
from memscope.scoring.run import Run
from memscope.scoring.session import Session

MASKS = 32
"""Random masks, unless told otherwise; each memory is kept with probability 1/2."""
TOP = (1, 3, 5)
"""How many of the strongest memories are left out together."""
DRAWS = 3
"""How often as many memories are drawn at random to compare with, where there are more choices than that."""
SAMPLE = 16
"""Responses, drawn at random, over which the top-k drop is averaged at most: each has its own ablations."""
PAIRS = 6
"""Pairs of memories that are left out together at most, in search of those that hide each other."""


@dataclass(frozen=True)
class TopK:
    """Nats by which the log-probability of a response drops without its `k` strongest memories, and without
    as many drawn at random; means over `responses` of those drawn from the `eligible`, which see at least k
    memories. `missing` are those drawn that lack a score; the means are None if all do, or none is there."""

    k: int
    drop: float | None
    random: float | None
    responses: int
    missing: int
    eligible: int


@dataclass(frozen=True)
class ResponseLds:
    """One response: the rank correlation over `masks` that are scored, or why there is none."""

    response: int
    entry: int
    value: float | None
    masks: int
    reason: str | None


@dataclass(frozen=True)
class Lds:
    """Linear datamodeling score: Spearman's rank correlation, over random masks, of the log-probability that
    the matrix predicts (the baseline's minus the divergences of what is left out) with the actual one.

    `mean` is over `counted` responses, None if there are none. Not counted are responses that see `too_few`
    memories (less than two), those whose log-probability is `constant` but for noise, and those `missing` a
    score. `masks_missing` of the masks lack a score somewhere.
    """

    mean: float | None
    counted: int
    constant: int
    too_few: int
    missing: int
    masks_missing: int
    responses: tuple[ResponseLds, ...]


@dataclass(frozen=True)
class Redundancy:
    """All memories left out together: in `total` and for each response that sees any; `missing` of them lack
    a score and are not in the total. `pairs` are those tried, the largest interaction first; None if the
    conversation changed before they could be."""

    total: Joint
    missing: int
    responses: tuple[Joint, ...]
    pairs: tuple[Pair, ...] | None


@dataclass(frozen=True)
class Fidelity:
    """The figures for one matrix, in signed nats. `draws` says how many random sets each top-k drop was held
    against, `unscored` which memories have possible cells without a score, `failed` which ablations failed
    and why, `spent` what `ablations` of several memories cost. `exact` is the scorer's."""

    metric: str
    seed: int
    masks: int
    draws: int
    exact: bool
    top: tuple[TopK, ...]
    lds: Lds
    redundancy: Redundancy
    unscored: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    ablations: int
    spent: Spent


@dataclass(frozen=True)
class FidelityPlan:
    """What `measure_fidelity` will leave out: so many `ablations` that are not known yet, with `tokens`
    through the model, and then at most so many `pairs` of memories, with at most `pair_tokens`."""

    ablations: int
    tokens: int
    pairs: int
    pair_tokens: int
    seed: int
    fresh: bool
    masks: tuple[Memories, ...]
    top: "tuple[Choice, ...]"
    known: JointDivergences
    rows: tuple[Wanted, ...]
    base: Run
    run: Run
    """The run that leaves out the `rows`; `base` is that of the matrix."""


@dataclass(frozen=True)
class Choice:
    """The k strongest memories of a response, and sets of k of its memories to compare with."""

    k: int
    response: int
    strongest: Memories
    random: tuple[Memories, ...]


@dataclass(frozen=True)
class _Done:
    """So many ablations carried out, or known before; which failed and why, and what they cost."""

    ablations: int
    failed: tuple[tuple[str, str], ...]
    spent: Spent


async def plan_fidelity(
    session: Session, *, masks: int = MASKS, seed: int = 0, fresh: bool = False
) -> FidelityPlan:
    """Plan the ablations for a session's matrix as it is scored now; with `fresh` all of them are scored,
    also what the store knows. The same seed plans the same. Raises MemscopeError if not prepared."""
    base = session.prepared_run()
    known = JointDivergences(base.matrix)
    drawn = _masks(len(known.keys), masks, seed)
    top = await asyncio.to_thread(_choices, known, seed)
    rows = await asyncio.to_thread(known.lacking, _wanted(known, drawn, top))
    run = await session.run_without([row.memories for row in rows], [row.name for row in rows])
    cells = _cells(rows, run)
    left = cells if fresh else cells & (run.matrix.states == CellState.PENDING)
    tokens = (run.tokens_in_all(cells) if fresh else run.tokens_missing(cells)) if left.any() else 0
    # no pair costs more than its windows whole, nor does the baseline whose beginning the pairs share
    meeting = known.possible.astype(np.float64)
    pairs = min(PAIRS, int((np.triu(meeting @ meeting.T, 1) > 0).sum()))
    windows = sum(len(window.tokens) for window in run.plan.windows)
    return FidelityPlan(
        int(left.any(axis=1).sum()),
        tokens,
        pairs,
        (pairs + 1) * windows if pairs else 0,
        seed,
        fresh,
        drawn,
        top,
        known,
        tuple(rows),
        base,
        run,
    )


async def measure_fidelity(session: Session, plan: FidelityPlan) -> Fidelity:
    """Score what a plan leaves out, then the pairs of memories that look redundant, and work out the figures.

    What fails is retried as in any run, and then told in the result. Cancelling keeps what is done. Raises
    MemscopeError if the session is not prepared.
    """
    known = plan.known
    assert session.scorer is not None
    with session.activities.track("measuring fidelity"):
        done = [await _carry_out(known, plan.rows, plan.run, plan.fresh)]
        pairs: tuple[Pair, ...] | None = None
        if session.prepared_run() is plan.base:
            prompt = plan.base.plan.prompt
            tried = await asyncio.to_thread(suspects, known, plan.masks, prompt, PAIRS)
            rows = known.lacking(pairs_wanted(known, tried))
            run = await session.run_without([row.memories for row in rows], [row.name for row in rows])
            done.append(await _carry_out(known, rows, run, plan.fresh))
            pairs = pairs_of(known, tried)
    return Fidelity(
        "signed",
        plan.seed,
        len(plan.masks),
        DRAWS,
        session.scorer.exact,
        tuple(_top_k(known, plan.top, k) for k in TOP),
        await asyncio.to_thread(_lds, known, plan.masks),
        _redundancy(known, pairs),
        tuple(key for m, key in enumerate(known.keys) if np.isnan(known.alone[m, known.possible[m]]).any()),
        tuple(failed for one in done for failed in one.failed),
        sum(one.ablations for one in done),
        _sum([one.spent for one in done]),
    )


async def _carry_out(known: JointDivergences, rows: Sequence[Wanted], run: Run, fresh: bool) -> "_Done":
    """Score these rows of a run where they are wanted, and take over what is scored."""
    cells = _cells(rows, run)
    if cells.any() and (fresh or (run.matrix.states[cells] != CellState.SCORED).any()):
        async with aclosing(run.score(fresh=fresh, only=cells)) as changes:
            async for _ in changes:
                pass
    known.take(rows, run)
    failed = tuple((run.matrix.keys[row], reason) for row, reason in run.matrix.errors.items())
    return _Done(len(rows), failed, spent_on(run, cells))


def _cells(rows: Sequence[Wanted], run: Run) -> NDArray[np.bool_]:
    """The cells [rows, R] of a run where its rows are wanted."""
    return cells_of(run, {row: wanted.responses for row, wanted in enumerate(rows)})


def _masks(memories: int, count: int, seed: int) -> tuple[Memories, ...]:
    """Random masks by what they leave out; more of them begin with the same ones."""
    out = np.random.default_rng([seed, 0]).random((count, memories)) < 0.5
    return tuple(tuple(np.flatnonzero(mask).tolist()) for mask in out)


def _choices(known: JointDivergences, seed: int) -> tuple[Choice, ...]:
    """What to leave out for the top-k drop, at `SAMPLE` responses for each k.

    A draw is one order of all memories, of which each response takes the first k that it can see: any k are
    as likely, and responses that see the same memories share their ablations.
    """
    random = np.random.default_rng([seed, 1])
    responses = random.permutation(len(known.entries)).tolist()
    orders = [random.permutation(len(known.keys)).tolist() for _ in range(DRAWS)]
    return tuple(
        Choice(k, response, _strongest(known, response, k), _random(known, response, k, orders))
        for k in TOP
        for response in [r for r in responses if known.possible[:, r].sum() >= k][:SAMPLE]
    )


def _strongest(known: JointDivergences, response: int, k: int) -> Memories:
    column = np.nan_to_num(known.alone[:, response], nan=-np.inf)
    return tuple(sorted(np.argsort(-column, kind="stable")[:k].tolist()))


def _random(
    known: JointDivergences, response: int, k: int, orders: Sequence[Sequence[int]]
) -> tuple[Memories, ...]:
    """Sets of k memories that a response can see; all there are if they are few, or single memories."""
    seen = known.seen(range(len(known.keys)), response)
    if k == 1 or math.comb(len(seen), k) <= len(orders):
        return tuple(combinations(seen, k))
    return tuple(tuple(sorted([memory for memory in order if memory in seen][:k])) for order in orders)


def _wanted(known: JointDivergences, masks: Sequence[Memories], top: Sequence[Choice]) -> list[Wanted]:
    """All that the figures need, masks first: what others need they often have."""
    everything = tuple(range(len(known.keys)))
    complete = tuple(np.flatnonzero(known.complete).tolist())
    wanted = [Wanted(f"mask {number}", mask, complete) for number, mask in enumerate(masks, 1)]
    wanted.append(Wanted("all memories", everything, complete))
    for choice in top:
        if known.complete[choice.response]:
            at = (choice.response,)
            name = f"top {choice.k} of r{choice.response + 1}"
            wanted.append(Wanted(name, choice.strongest, at))
            wanted += [Wanted(f"{choice.k} at random", memories, at) for memories in choice.random]
    return wanted


def _top_k(known: JointDivergences, choices: Sequence[Choice], k: int) -> TopK:
    drops, randoms, missing = [], [], 0
    for choice in choices:
        if choice.k == k:
            drop = known.drop(choice.strongest, choice.response)
            random = [known.drop(memories, choice.response) for memories in choice.random]
            if not known.complete[choice.response] or math.isnan(drop + sum(random)):
                missing += 1
            else:
                drops.append(drop)
                randoms.append(sum(random) / len(random))
    eligible = int((known.possible.sum(axis=0) >= k).sum())
    return TopK(k, _mean(drops), _mean(randoms), len(drops), missing, eligible)


def _lds(known: JointDivergences, masks: Sequence[Memories]) -> Lds:
    responses = range(len(known.entries))
    results = [_lds_of(known, masks, response) for response in responses]
    lacking = [
        any(math.isnan(known.drop(mask, response)) for response in responses if known.complete[response])
        for mask in masks
    ]
    values = [result.value for result in results if result.value is not None]
    reason = [result.reason for result in results].count
    return Lds(
        _mean(values),
        len(values),
        reason(_CONSTANT),
        reason(_TOO_FEW),
        reason(_UNSCORED) + reason(_MASKS),
        sum(lacking),
        tuple(results),
    )


_TOO_FEW = "it sees fewer than two memories"
_UNSCORED = "a memory is not scored for it"
_MASKS = "fewer than three masks are scored for it"
_CONSTANT = "the masks do not change it by more than noise"


def _lds_of(known: JointDivergences, masks: Sequence[Memories], response: int) -> ResponseLds:
    actual = np.array([known.drop(mask, response) for mask in masks], np.float64)
    predicted = np.array([known.apart(mask, response) for mask in masks], np.float64)
    there = ~np.isnan(actual + predicted)
    value, reason = None, None
    if known.possible[:, response].sum() < 2:
        reason = _TOO_FEW
    elif not known.complete[response]:
        reason = _UNSCORED
    elif there.sum() < 3:
        reason = _MASKS
    else:
        least = NOISE_FACTOR * float(np.nan_to_num(known.noise[response]))
        spreads = [float(np.ptp(drops[there])) for drops in (actual, predicted)]
        if min(spreads) > least:
            value = spearman(-predicted[there], -actual[there])
        reason = _CONSTANT if value is None else None
    masked = int(there.sum()) if known.complete[response] else 0
    return ResponseLds(response, known.entries[response], value, masked, reason)


def _redundancy(known: JointDivergences, pairs: tuple[Pair, ...] | None) -> Redundancy:
    everything = tuple(range(len(known.keys)))
    seeing = np.flatnonzero(known.possible.any(axis=0)).tolist()
    joints = tuple(known.joint(everything, response) for response in seeing)
    missing = sum(joint.interaction is None for joint in joints)
    return Redundancy(summed(joints), missing, joints, pairs)


def _mean(values: Sequence[float]) -> float | None:
    return number(float(np.mean(values))) if values else None


def _sum(spent: Sequence[Spent]) -> Spent:
    return Spent(*(sum(getattr(one, field.name) for one in spent) for field in fields(Spent)))
