"""What the HTML report shows, as one JSON document: the matrix, the texts, and tokens up to a budget."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from memscope.documents import check_prepared
from memscope.scoring.matrix import IMPORTANT, NOISE_FACTOR, CellState, number, range_end
from memscope.scoring.session import Session
from memscope.text import printable
from memscope.wording import counted

BUDGET = 1_000_000
"""Log-probabilities of single tokens that a report holds at most, some eight bytes each."""
_DECIMALS = 3
"""Of a nat, in all that the report holds."""

_Floats = NDArray[np.floating[Any]]


class _Head(msgspec.Struct):
    """What is true of the whole report; `budget` in log-probabilities, `noise` and `extent` in nats."""

    title: str
    file: str
    format: str
    branch: str
    written: str
    scorer: str
    per_token: bool
    metric: str
    noise: float | None
    extent: float
    important: float
    noise_factor: float
    budget: int
    reconstructed: str
    proxy_for: str
    notes: list[str]
    cost: str


class _Memory(msgspec.Struct):
    key: str
    entries: list[int]
    weight: float | None
    error: str | None
    text: str


class _Response(msgspec.Struct):
    entry: int
    tokens: int
    dependence: float | None
    noise: float | None
    text: str


class _Tokens(msgspec.Struct):
    """A response token by token: texts, log-probabilities in nats with all memories, and without some of
    them, by the memory's index."""

    texts: list[str]
    with_all: list[float]
    without: dict[str, list[float]]


class ReportDocument(msgspec.Struct):
    """All that the page knows. `states` has a digit for each cell of a row (`CellState`), `values` the
    divergences of its scored cells in order, in nats; `details` the tokens of some responses, by index."""

    head: _Head
    memories: list[_Memory]
    responses: list[_Response]
    states: list[str]
    values: list[list[float]]
    details: dict[str, _Tokens]


def report_document(session: Session, budget: int = BUDGET) -> ReportDocument:
    """The report of a session as it stands now. Raises InputError if the session is not prepared."""
    check_prepared(session)
    conversation, matrix, metric = session.conversation, session.matrix, session.metric
    values, weights, dependence = matrix.values(metric), matrix.weights(metric), matrix.dependence(metric)
    return ReportDocument(
        _head(session, budget),
        [
            _Memory(
                printable(memory.key),
                list(memory.entries),
                _rounded(weights[m]),
                printable(matrix.errors[m]) if m in matrix.errors else None,
                printable(conversation.memory_text(memory)),
            )
            for m, memory in enumerate(conversation.memories)
        ],
        [
            _Response(
                entry,
                int(matrix.tokens[r]),
                _rounded(dependence[r]),
                number(matrix.noise[r]),
                printable(conversation.entries[entry].spoken),
            )
            for r, entry in enumerate(conversation.responses)
        ],
        ["".join(map(str, row.tolist())) for row in matrix.states],
        [
            _numbers(row[states == CellState.SCORED])
            for row, states in zip(values, matrix.states, strict=True)
        ],
        _details(session, budget),
    )


def _head(session: Session, budget: int) -> _Head:
    source, matrix, metric, run = (
        session.conversation.source,
        session.matrix,
        session.metric,
        session.prepared_run(),
    )
    assert session.scorer is not None
    sizes = np.abs(matrix.values(metric))
    return _Head(
        title=printable(source.title),
        file=printable(Path(source.path).name),
        format=source.format,
        branch=printable(source.branch),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        scorer=printable(session.scorer_label),
        per_token=matrix.per_token,
        metric=metric.value,
        noise=session.noise_floor,
        extent=range_end(sizes[(sizes > IMPORTANT) & ~matrix.within_noise(metric)]),
        important=IMPORTANT,
        noise_factor=NOISE_FACTOR,
        budget=budget,
        reconstructed=printable(session.missing_context),
        proxy_for=printable(session.proxy_for),
        notes=[printable(note) for note in session.notes],
        cost=f"{run.tokens_computed:,} tokens computed (all anew: {run.plan.cost.tokens_naive:,}), "
        f"{counted(run.cells_from_cache, 'cell')} known before",
    )


def _details(session: Session, budget: int) -> dict[str, _Tokens]:
    """Tokens of the cells that the budget allows."""
    details: dict[str, _Tokens] = {}
    if not session.matrix.per_token:
        return details
    for memory, response, without in session.stored(_affordable(session, budget)):
        name = str(response)
        if name not in details:
            known = session.response_tokens(response)
            if known is None:
                continue
            texts, with_all = known
            details[name] = _Tokens([printable(text) for text in texts], _numbers(with_all), {})
        details[name].without[str(memory)] = _numbers(without)
    return details


def _affordable(session: Session, budget: int) -> NDArray[np.bool_]:
    """The scored cells [M, R] with the largest divergences whose tokens, and those of their responses with
    all memories, keep within the budget."""
    matrix = session.matrix
    chosen = np.zeros(matrix.shape, np.bool_)
    memories, responses = np.nonzero(matrix.states == CellState.SCORED)
    order = np.argsort(-np.abs(matrix.values(session.metric)[memories, responses]), kind="stable")
    memories, responses = memories[order], responses[order]
    costs = matrix.tokens[responses]
    first = np.unique(responses, return_index=True)[1]
    costs[first] *= 2
    within = np.cumsum(costs) <= budget
    chosen[memories[within], responses[within]] = True
    return chosen


def _numbers(values: _Floats) -> list[float]:
    """Rounded, and without a zero that has a sign."""
    rounded: list[float] = (np.round(values.astype(np.float64), _DECIMALS) + 0.0).tolist()
    return rounded


def _rounded(value: float) -> float | None:
    known = number(value)
    return None if known is None else round(known, _DECIMALS) + 0.0
