"""Runs and what two of them differ in, in words. Everything returned is printable."""

from collections.abc import Iterable

import numpy as np

from memscope.scoring.compare import Comparison, Only
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.runs import RunInfo, RunState
from memscope.tui.past_runs import Laid
from memscope.tui.safe import cut, one_line
from memscope.tui.view import MatrixView
from memscope.tui.wording import cell_sentence, nats, noise_phrase
from memscope.wording import age, counted, duration

NO_RUNS = """No scoring of this conversation is kept yet.

Every scoring is kept here when it ends, complete or not, with its matrix: open one as it was, or compare \
two cell by cell to see what another model, metric or a longer conversation changed."""

STATE_MARKS = {RunState.COMPLETE: "✓", RunState.STOPPED: "–", RunState.FAILED: "✗"}
_NAMED = 4
"""Memories or responses that are named where only one of two runs has them."""


def when(run: RunInfo, *, year: bool = True) -> str:
    """When a run began, in local time: `2026-11-24 20:59`."""
    return f"{run.began.astimezone():{'%Y-' if year else ''}%m-%d %H:%M}"


def ago(run: RunInfo, now: float) -> str:
    """How long before `now` (seconds since 1970) a run began."""
    return age(now - run.began.timestamp())


def exactly(run: RunInfo, now: float) -> str:
    """When a run began, to the second, and how long before `now` that was."""
    return f"{run.began.astimezone():%Y-%m-%d %H:%M:%S}, {ago(run, now)}"


def state(run: RunInfo) -> str:
    """How a run ended: `✓ complete`."""
    return f"{STATE_MARKS[run.state]} {run.state}"


def reason(run: RunInfo) -> str:
    """Why a run failed; empty if nothing did."""
    return one_line(run.reason)


def scorer(run: RunInfo) -> str:
    """What scored: the model, the kind of scorer, and whether it is only approximate."""
    return f"{one_line(run.model)} {one_line(run.scorer)}{'' if run.exact else ', approximate'}"


def cells(run: RunInfo) -> str:
    """How many cells had a number at the end, of those that could have one: `40 of 42`."""
    return f"{run.scored:,} of {run.scored + run.failed + run.missing:,}"


def facts(run: RunInfo, now: float) -> str:
    """Everything that is known of a run but why it failed."""
    parts = [
        exactly(run, now),
        f"took {duration(run.seconds)}",
        f"{cells(run)} cells scored",
        f"{run.failed:,} failed" if run.failed else "",
        f"{run.missing:,} not scored" if run.missing else "",
        f"{run.tokens_computed:,} tokens computed, the whole matrix takes {run.tokens_needed:,}",
        f"{run.cells_from_cache:,} cells from the cache",
        counted(run.requests, "request"),
        scorer(run),
        f"{run.metric} divergence",
        f"{run.memories:,} memories x {run.responses:,} responses",
    ]
    if run.strongest is not None and run.weight is not None:
        parts.append(f"strongest memory {one_line(run.strongest)}, {nats(run.weight)} nats")
    return " · ".join(filter(None, parts))


def changed_since(laid: Laid) -> str:
    """What of a past matrix is no longer in the conversation, and what has come since; empty if nothing."""
    gone, new = _memories_and_responses(*laid.gone), _memories_and_responses(*laid.new)
    parts = [
        f"{gone} {'is' if sum(laid.gone) == 1 else 'are'} no longer in the conversation" if gone else "",
        f"{new} came since" if new else "",
    ]
    return " · ".join(filter(None, parts))


def past_sentence(view: MatrixView, laid: Laid, memory: int, response: int, key_width: int) -> str:
    """A past cell in words, with what of it is gone."""
    names = ("memory", laid.memories[memory]), ("response", laid.responses[response])
    lost = " and ".join(name for name, there in names if there is None)
    gone = f" · {lost} no longer there" if lost else ""
    stands = CellState(int(view.matrix.states[memory, response]))
    where = f"{cut(one_line(view.matrix.keys[memory]), key_width)} x r{response + 1}: "
    if stands is CellState.PENDING:
        return f"{where}not scored in this run{gone}"
    if stands is CellState.IMPOSSIBLE and lost:
        return f"{where}impossible{gone}"
    return cell_sentence(view, memory, response, key_width) + gone


def difference_sentence(found: Comparison, memory: int, response: int, key_width: int) -> str:
    """One cell of two runs in words."""
    where = f"{cut(one_line(found.keys[memory]), key_width)} x r{response + 1}: "
    a, b = float(found.a[memory, response]), float(found.b[memory, response])
    if not np.isnan(a) and not np.isnan(b):
        within = bool(found.within_noise[memory, response])
        noise = noise_phrase(float(found.matrix.noise[response]), within)
        return f"{where}{nats(b - a)} nats, {noise} · a {nats(a)} · b {nats(b)}"
    stands = CellState(int(found.matrix.states[memory, response]))
    if stands is CellState.IMPOSSIBLE:
        return f"{where}impossible in both"
    failed = (
        f", failed: {one_line(found.matrix.errors.get(memory, ''))}" if stands is CellState.FAILED else ""
    )
    if np.isnan(a) and np.isnan(b):
        return f"{where}scored in neither{failed}"
    has, lacks, value = ("b", "a", b) if np.isnan(a) else ("a", "b", a)
    return f"{where}{has} {nats(value)} nats, not scored in {lacks}{failed}"


def moved_title(found: Comparison, count: int) -> str:
    """What stands above the list of the `count` cells that moved most."""
    if not count:
        return "no cell moved"
    return f"cells that moved most{'' if count == changes(found)[0] else f', the first {count}'}"


def changes(found: Comparison) -> tuple[int, int, int]:
    """How many cells moved at all; how many of those within the noise, and how many with unknown noise."""
    moved = np.nan_to_num(found.difference) != 0
    unknown = moved & np.isnan(found.matrix.noise)
    return int(moved.sum()), int((moved & found.within_noise).sum()), int(unknown.sum())


def verdict(found: Comparison) -> str:
    """Whether two runs say the same: cells that moved, noise, rank correlation."""
    compared = int((~np.isnan(found.difference)).sum())
    if not compared:
        return "no cell is scored in both"
    moved, within, unknown = changes(found)
    beyond = moved - within - unknown
    if not moved:
        cells_moved = "none moved"
    elif moved in (within, beyond):
        cells_moved = f"{moved:,} moved, all {'within' if within else 'beyond'} the noise"
    else:
        parts = [
            f"{beyond:,} of them beyond the noise" if beyond or not unknown else "",
            f"{unknown:,} with unknown noise" if unknown else "",
        ]
        cells_moved = f"{moved:,} moved, {', '.join(filter(None, parts))}"
    rho = found.correlation
    weights = (
        "no rank correlation: it takes three memories that differ in weight"
        if rho is None
        else f"rank correlation of weights {rho:+.2f}"
    )
    return f"{compared:,} cells compared, {cells_moved} · {weights}"


def differing(a: RunInfo, b: RunInfo, metric: Metric) -> str:
    """What makes the numbers of two runs hard to compare; empty if nothing does."""
    parts = []
    if a.model != b.model:
        parts.append(f"different models: a {one_line(a.model)}, b {one_line(b.model)}")
    elif a.scorer != b.scorer:
        parts.append(f"different scorers: a {one_line(a.scorer)}, b {one_line(b.scorer)}")
    if a.metric is not b.metric:
        parts.append(f"different metrics: a {a.metric}, b {b.metric}, compared as {metric}")
    if a.exact is not b.exact:
        parts.append(f"{'b' if a.exact else 'a'} is only approximate")
    return " · ".join(parts)


def only(name: str, found: Only) -> str:
    """What only one of two runs has; empty if nothing."""
    parts = []
    if found.keys:
        parts.append(f"{_s(len(found.keys), 'memory', 'memories')} {_named(map(one_line, found.keys))}")
    if found.entries:
        numbers = _named(map(str, found.entries))
        parts.append(f"{_s(len(found.entries), 'response', 'responses')} at entry {numbers}")
    if found.cells:
        parts.append(f"{counted(found.cells, 'cell')} scored")
    return f"only in {name}: {' · '.join(parts)}" if parts else ""


def _named(names: Iterable[str]) -> str:
    everything = list(names)
    more = len(everything) - _NAMED
    return ", ".join(everything[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _memories_and_responses(memories: int, responses: int) -> str:
    parts = [
        f"{memories:,} {_s(memories, 'memory', 'memories')}" if memories else "",
        f"{responses:,} {_s(responses, 'response', 'responses')}" if responses else "",
    ]
    return " and ".join(filter(None, parts))


def _s(count: int, one: str, many: str) -> str:
    return one if count == 1 else many
