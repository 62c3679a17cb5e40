"""A scored matrix as text that a person can read: memories by weight, responses by dependence, top cells."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memscope.scoring.matrix import NOISE_FACTOR, CellState
from memscope.scoring.session import Session
from memscope.text import cells, fit, one_line

_LEAST_WIDTH = 60
_STRONGEST = 10
_BAR = 12
_NOISE = "~"
"""Stands before a value that may be nothing but noise."""


def report(session: Session, width: int) -> str:
    """The matrix of a prepared session in printable lines of at most `width` (60 or more) cells; values are
    in nats."""
    return "\n".join(line.rstrip() for line in _lines(session, max(width, _LEAST_WIDTH))) + "\n"


def _lines(session: Session, width: int) -> Iterator[str]:
    matrix, source = session.matrix, session.conversation.source
    memories, responses = matrix.shape
    size = f"{memories} memories x {responses} responses"
    yield fit(
        f"{source.title} · {size} · {session.scorer_label} · {session.metric} divergence in nats", width
    )
    yield ""
    yield "Memories by weight"
    yield from _memories(session, width)
    yield ""
    yield "Responses by dependence on memory"
    yield from _responses(session, width)
    yield ""
    yield "Strongest cells"
    yield from _strongest(session, width)
    if matrix.errors:
        yield ""
        yield "Failed"
        yield from _failed(session, width)
    noise_floor = session.noise_floor
    if noise_floor is not None and matrix.within_noise(session.metric).any():
        yield ""
        marked = f"{_NOISE} marks values below {NOISE_FACTOR:g} times the noise of their response"
        yield from _wrapped(f"{marked} (at most {noise_floor:.2g} nats).", width)
    for note in session.notes:
        yield ""
        yield from _wrapped(note, width)


def _memories(session: Session, width: int) -> Iterator[str]:
    matrix = session.matrix
    values, noise = matrix.values(session.metric), matrix.within_noise(session.metric)
    weights = matrix.weights(session.metric)
    name = min(max((cells(one_line(key)) for key in matrix.keys), default=0), width // 3)
    for m in _largest_first(weights):
        scored = np.flatnonzero(~np.isnan(values[m]))
        top = scored[np.argsort(-np.abs(values[m, scored]), kind="stable")][:3]
        failed = int((matrix.states[m] == CellState.FAILED).sum())
        tail = [f"{failed} cell{'s' if failed > 1 else ''} failed"] if failed else []
        tail += [f"r{r + 1} {_NOISE if noise[m, r] else ''}{values[m, r]:+.2f}" for r in top]
        if not tail:
            impossible = matrix.row_state(m) is CellState.IMPOSSIBLE
            tail.append("no response can see it" if impossible else "not scored")
        head = f"  {fit(matrix.keys[m], name)} {_bar(weights, m)} {_value(weights[m])}  "
        yield head + fit(", ".join(tail), width - cells(head))


def _responses(session: Session, width: int) -> Iterator[str]:
    matrix, conversation = session.matrix, session.conversation
    dependence = matrix.dependence(session.metric)
    for r in _largest_first(dependence):
        entry = conversation.entries[matrix.responses[r]]
        start = entry.said.strip() or "; ".join(f"calls {call.name}" for call in entry.tool_calls)
        head = f"  {_where(session, r)} {_bar(dependence, r)} {_value(dependence[r])}  "
        yield head + fit(start, width - cells(head))


def _strongest(session: Session, width: int) -> Iterator[str]:
    matrix = session.matrix
    values = matrix.values(session.metric)
    size = np.where(matrix.within_noise(session.metric), 0.0, np.nan_to_num(np.abs(values))).ravel()
    order = np.argsort(-size, kind="stable")[:_STRONGEST]
    for cell in order[size[order] > 0]:
        m, r = divmod(int(cell), matrix.shape[1])
        head = f"  {_where(session, r)} {values[m, r]:+8.2f}  "
        yield head + fit(matrix.keys[m], width - cells(head))


def _failed(session: Session, width: int) -> Iterator[str]:
    """Each reason with the memories it hit."""
    keys: dict[str, list[str]] = {}
    for memory, reason in session.matrix.errors.items():
        keys.setdefault(reason, []).append(session.matrix.keys[memory])
    for reason, hit in keys.items():
        yield from _wrapped(f"{', '.join(hit)}: {reason}", width, "  ")


def _largest_first(values: NDArray[np.float64]) -> list[int]:
    """Indexes by falling value, those without one last."""
    order: list[int] = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable").tolist()
    return order


def _where(session: Session, response: int) -> str:
    return f"r{response + 1:<4} entry {session.matrix.responses[response]:<5}"


def _bar(values: NDArray[np.float64], at: int) -> str:
    """Length says the size beside the largest; a negative one is hollow."""
    if np.isnan(values[at]):
        return " " * _BAR
    most = np.nanmax(np.abs(values))
    length = round(_BAR * abs(values[at]) / most) if most else 0
    return fit(("▇" if values[at] > 0 else "▒") * length, _BAR)


def _value(value: float) -> str:
    return "       -" if np.isnan(value) else f"{value:8.2f}"


def _wrapped(text: str, width: int, indent: str = "") -> Iterator[str]:
    """Lines of whole words; a word longer than a line is cut."""
    room = width - cells(indent)
    line, *words = (fit(word, min(cells(word), room)) for word in one_line(text).split(" "))
    for word in words:
        if cells(line) + 1 + cells(word) <= room:
            line += f" {word}"
        else:
            yield indent + line
            line = word
    yield indent + line
