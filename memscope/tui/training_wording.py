"""Training candidates in words. Everything returned is printable."""

from memscope.scoring.candidates import Candidate
from memscope.scoring.matrix import CellState, Metric
from memscope.tui.candidates_view import per_token
from memscope.tui.safe import one_line
from memscope.tui.wording import bound, nats
from memscope.wording import counted


def offer(key: str, pending: int, memories: int, tokens: int | None) -> str:
    """What scoring so many responses without any of so many memories costs, which `key` does; `tokens` is
    None if unknown."""
    if not pending:
        return "No response follows a memory within the model's context: there is nothing to train on."
    known = "what that costs is known once the model is open" if tokens is None else f"{tokens:,} tokens"
    which = "the memory" if memories == 1 else f"all {memories:,} memories"
    at_once = "" if memories == 1 else " at once"
    return f"{key} leaves {which} out{at_once} and scores {counted(pending, 'response')} again: {known}."


def idle(key: str, missing: int, tokens: int | None) -> str:
    """What can be done with `key` while nothing is going on."""
    if not missing:
        return "all responses scored without any memory"
    known = "" if tokens is None else f": {tokens:,} tokens"
    return f"{key} scores {counted(missing, 'response')} without any memory{known}"


def least(above: float | None) -> str:
    """A filter's name: `above 10 nats`, or `all` if it is None."""
    if above is None:
        return "all"
    return f"above {bound(above)} nats" if above else "above noise"


def candidate_sentence(item: Candidate, metric: Metric, *, waits: bool) -> str:
    """One response in words; `waits` says whether it is about to be scored."""
    where = f"r{item.response + 1} · entry {item.entry}: "
    each = per_token(item)
    if item.divergence is None or each is None:
        reasons = {
            CellState.IMPOSSIBLE: "no memory stands before it within the model's context",
            CellState.PENDING: "waits to be scored" if waits else "not scored yet",
            CellState.RUNNING: "being scored",
            CellState.FAILED: f"failed: {one_line(item.error or 'no reason given')}",
        }
        return where + reasons[item.state]
    within = ", within noise" if item.within_noise else ""
    said = f"{nats(item.divergence)} nats with all memories left out, {each:+.3f} a token{within}"
    return f"{where}{said} · {metric}"
