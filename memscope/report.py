"""A scored matrix as text that a person can read: memories by weight, responses by dependence, top cells."""

from collections.abc import Iterator

import numpy as np

from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from memscope.text import fit, one_line

_STRONGEST = 10
_BAR = 12


def report(session: Session, width: int) -> str:
    """The matrix of a prepared session in lines of at most `width` cells; values are in nats."""
    return "\n".join(line.rstrip() for line in _lines(session, max(width, 60))) + "\n"


def _lines(session: Session, width: int) -> Iterator[str]:
    matrix, source = session.matrix, session.conversation.source
    memories, responses = matrix.shape
    size = f"{memories} memories x {responses} responses"
    yield one_line(f"{source.title} · {size} · {session.scorer_label} · {session.metric} divergence in nats")
    yield ""
    yield "Memories by weight"
    yield from _memories(session, width)
    yield ""
    yield "Responses by dependence on memory"
    yield from _responses(session, width)
    yield ""
    yield "Strongest cells"
    yield from _strongest(session, width)
    for note in session.notes:
        yield ""
        yield one_line(note)


def _memories(session: Session, width: int) -> Iterator[str]:
    matrix = session.matrix
    values = matrix.values(session.metric)
    weights = matrix.weights(session.metric)
    most = np.nanmax(np.abs(weights)) if np.isfinite(weights).any() else 1.0
    name = min(max(len(key) for key in matrix.keys), width // 3)
    for m in np.argsort(-np.nan_to_num(weights, nan=-np.inf), kind="stable"):
        scored = np.flatnonzero(~np.isnan(values[m]))
        top = scored[np.argsort(-np.abs(values[m, scored]), kind="stable")][:3]
        where = "   ".join(f"r{r + 1} {values[m, r]:+.2f}" for r in top)
        tail = where if scored.size else _why_not(session, int(m))
        if scored.size and int(m) in matrix.errors:
            tail += f"   (some failed: {matrix.errors[int(m)]})"
        head = f"  {fit(matrix.keys[m], name)} {_bar(weights[m], most)} {_value(weights[m])}  "
        yield head + fit(tail, max(width - len(head), 10))


def _why_not(session: Session, memory: int) -> str:
    state = session.matrix.row_state(memory)
    if state is CellState.FAILED:
        return f"failed: {session.matrix.errors[memory]}"
    return "not scored" if state is not CellState.IMPOSSIBLE else "no response can see it"


def _responses(session: Session, width: int) -> Iterator[str]:
    matrix, conversation = session.matrix, session.conversation
    dependence = matrix.dependence(session.metric)
    most = np.nanmax(np.abs(dependence)) if np.isfinite(dependence).any() else 1.0
    for r in np.argsort(-np.nan_to_num(dependence, nan=-np.inf), kind="stable"):
        entry = conversation.responses[r]
        said = conversation.entries[entry]
        start = said.said.strip() or "; ".join(f"calls {call.name}" for call in said.tool_calls)
        head = f"  r{r + 1:<4} entry {entry:<5} {_bar(dependence[r], most)} {_value(dependence[r])}  "
        yield head + fit(start, max(width - len(head), 10))


def _strongest(session: Session, width: int) -> Iterator[str]:
    matrix = session.matrix
    values = matrix.values(session.metric)
    size = np.nan_to_num(np.abs(values)).ravel()
    order = np.argsort(-size, kind="stable")[:_STRONGEST]
    for cell in order[size[order] > session.noise_floor]:
        m, r = divmod(int(cell), matrix.shape[1])
        entry = matrix.responses[r]
        yield f"  {values[m, r]:+8.2f}  r{r + 1} (entry {entry})  {one_line(matrix.keys[m])}"[:width]


def _bar(value: float, most: float) -> str:
    """Length says the size; a negative one is hollow."""
    if np.isnan(value):
        return " " * _BAR
    length = round(_BAR * abs(value) / most) if most else 0
    return ("▇" if value > 0 else "▒") * length + " " * (_BAR - length)


def _value(value: float) -> str:
    return "       -" if np.isnan(value) else f"{value:8.2f}"
