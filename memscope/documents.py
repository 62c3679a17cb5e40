"""What was scored as JSON documents: the matrix (`memscope.matrix/1`), the other modes, the ledger."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from memscope.errors import InputError
from memscope.ledger import LedgerEntry, stamp
from memscope.scoring.fidelity import Fidelity
from memscope.scoring.matrix import number
from memscope.scoring.modes import IncrementalScore, MemoryScore, Spent, Training
from memscope.scoring.session import Session

SCHEMA = "memscope.matrix/1"
INCREMENTAL_SCHEMA = "memscope.incremental/1"
TRAINING_SCHEMA = "memscope.training/1"
LEDGER_SCHEMA = "memscope.ledger/1"


class _SessionPart(msgspec.Struct):
    """`branch` is null where the conversation does not fork; `reconstructed` says what of the model's context
    the file does not hold, null if nothing is known to be missing."""

    path: str
    format: str
    title: str
    branch: str | None
    agent: str | None
    author: str | None
    reconstructed: str | None


class _ScorerPart(msgspec.Struct):
    """`proxy_for` is the model that spoke, if that is another one; null if it is not, or not known."""

    name: str
    model: str
    exact: bool
    proxy_for: str | None


class _MemoryPart(msgspec.Struct):
    key: str
    entries: list[int]
    weight: float | None
    state: str
    error: str | None


class _ResponsePart(msgspec.Struct):
    entry: int
    tokens: int
    logprob: float | None
    dependence: float | None
    noise: float | None


class _WindowPart(msgspec.Struct):
    """The entries of the responses scored in one window, and of what stands before it and was left out."""

    responses: list[int]
    left_out: list[int]


class _ModePart(msgspec.Struct):
    """The mode that scored but a part of the matrix: the sum over these responses' entries in nats, null if
    there is none, or 0 with a reason."""

    name: str
    key: str
    divergence: float | None
    responses: list[int]
    reason: str | None
    within_noise: bool


class MatrixDocument(msgspec.Struct):
    """The JSON of a scored matrix; numbers in nats, null wherever a cell is not scored. `mode` and `fidelity`
    are there only where they were asked for."""

    schema: str
    session: _SessionPart
    scorer: _ScorerPart
    metric: str
    noise_floor: float | None
    memories: list[_MemoryPart]
    responses: list[_ResponsePart]
    matrix: list[list[float | None]]
    states: list[list[str]]
    important: dict[str, list[tuple[str, float]]]
    windows: list[_WindowPart]
    notes: list[str]
    cost: Spent
    mode: _ModePart | msgspec.UnsetType = msgspec.UNSET
    fidelity: Fidelity | msgspec.UnsetType = msgspec.UNSET


class _IncrementalPart(msgspec.Struct):
    """One memory: `entry` is the response with the largest divergence, `responses` those of its window, both
    by their entries; `weight`, `last_scored` and `times` are the ledger's."""

    key: str
    state: str
    divergence: float | None
    entry: int | None
    responses: list[int]
    within_noise: bool
    reason: str | None
    weight: float | None
    last_scored: str | None
    times: int | None


class IncrementalDocument(msgspec.Struct):
    """The JSON of incremental scoring; `max_age` in seconds, `not_due` the memories scored since."""

    schema: str
    session: _SessionPart
    scorer: _ScorerPart
    metric: str
    noise_floor: float | None
    max_age: float
    window: int
    results: list[_IncrementalPart]
    not_due: list[str]
    notes: list[str]
    cost: Spent


class _CandidatePart(msgspec.Struct):
    entry: int
    divergence: float | None
    tokens: int
    within_noise: bool
    state: str
    error: str | None


class TrainingDocument(msgspec.Struct):
    """The JSON of training candidates among the `last` entries, largest divergence first."""

    schema: str
    session: _SessionPart
    scorer: _ScorerPart
    metric: str
    noise_floor: float | None
    last: int
    candidates: list[_CandidatePart]
    notes: list[str]
    cost: Spent


class _LedgerPart(msgspec.Struct):
    key: str
    model: str
    weight: float
    value: float
    last_scored: str
    times: int
    session: str


class LedgerDocument(msgspec.Struct):
    """The JSON of the ledger, largest weight first."""

    schema: str
    memories: list[_LedgerPart]


def matrix_document(
    session: Session, score: MemoryScore | None = None, fidelity: Fidelity | None = None
) -> MatrixDocument:
    """The document of a prepared session as it stands now, after the scoring of one memory if that is given,
    or with the figures of its fidelity. Raises InputError if the session is not prepared."""
    session_part, scorer_part = _parts(session)
    assert session.run is not None
    conversation, matrix, metric, run = session.conversation, session.matrix, session.metric, session.run
    weights, dependence = matrix.weights(metric), matrix.dependence(metric)
    return MatrixDocument(
        schema=SCHEMA,
        session=session_part,
        scorer=scorer_part,
        metric=metric.value,
        noise_floor=session.noise_floor,
        memories=[
            _MemoryPart(
                memory.key,
                list(memory.entries),
                number(weights[m]),
                matrix.row_state(m).name.lower(),
                matrix.errors.get(m),
            )
            for m, memory in enumerate(conversation.memories)
        ],
        responses=[
            _ResponsePart(
                entry,
                int(matrix.tokens[r]),
                number(matrix.baseline[r]),
                number(dependence[r]),
                number(matrix.noise[r]),
            )
            for r, entry in enumerate(conversation.responses)
        ],
        matrix=[[number(value) for value in row] for row in matrix.values(metric)],
        states=matrix.state_names(),
        important={
            str(entry): [(matrix.keys[m], value) for m, value in matrix.important(r, metric)]
            for r, entry in enumerate(conversation.responses)
        },
        windows=[
            _WindowPart([conversation.responses[r] for r in window.responses], list(window.left_out))
            for window in run.plan.windows
        ],
        notes=list(session.notes),
        cost=_rounded(
            Spent(
                run.plan.cost.tokens_naive,
                run.plan.cost.tokens_needed,
                run.tokens_computed,
                run.cells_from_cache,
                run.requests,
                run.seconds,
            )
        ),
        mode=msgspec.UNSET if score is None else _mode_part(session, score),
        fidelity=msgspec.UNSET if fidelity is None else fidelity,
    )


def incremental_document(
    session: Session,
    results: Sequence[IncrementalScore],
    spent: Spent,
    *,
    max_age: float,
    window: int,
    notes: Sequence[str],
) -> IncrementalDocument:
    """The document of incremental scoring. Raises InputError if the session is not prepared."""
    due = {result.key for result in results}
    return IncrementalDocument(
        INCREMENTAL_SCHEMA,
        *_parts(session),
        session.metric.value,
        session.noise_floor,
        max_age,
        window,
        [
            _IncrementalPart(
                result.key,
                result.outcome.value,
                result.divergence,
                None if result.response is None else session.conversation.responses[result.response],
                _entries(session, result.responses),
                result.within_noise,
                result.reason,
                None if result.entry is None else result.entry.weight,
                None if result.entry is None else stamp(result.entry.last_scored),
                None if result.entry is None else result.entry.times,
            )
            for result in results
        ],
        [memory.key for memory in session.conversation.memories if memory.key not in due],
        list(notes),
        _rounded(spent),
    )


def training_document(session: Session, training: Training, *, last: int) -> TrainingDocument:
    """The document of training candidates. Raises InputError if the session is not prepared."""
    return TrainingDocument(
        TRAINING_SCHEMA,
        *_parts(session),
        session.metric.value,
        training.noise_floor,
        last,
        [
            _CandidatePart(
                candidate.entry,
                candidate.divergence,
                candidate.tokens,
                candidate.within_noise,
                candidate.state.name.lower(),
                candidate.error,
            )
            for candidate in training.candidates
        ],
        list(session.notes),
        _rounded(training.spent),
    )


def ledger_document(entries: Sequence[LedgerEntry]) -> LedgerDocument:
    """The document of the ledger."""
    parts = [
        _LedgerPart(e.key, e.model, e.weight, e.value, stamp(e.last_scored), e.times, e.session)
        for e in entries
    ]
    return LedgerDocument(LEDGER_SCHEMA, parts)


def encoded(document: msgspec.Struct) -> bytes:
    """A document's JSON, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def check_prepared(session: Session) -> None:
    """Raises InputError if the session is not prepared."""
    if session.scorer is None:
        raise InputError("There is nothing to export yet: the model is not open.")


def _parts(session: Session) -> tuple[_SessionPart, _ScorerPart]:
    """Raises InputError if the session is not prepared."""
    check_prepared(session)
    assert session.scorer is not None
    source, scorer = session.conversation.source, session.scorer
    return (
        _SessionPart(
            source.path,
            source.format,
            source.title,
            source.branch or None,
            source.agent or None,
            source.author or None,
            session.missing_context or None,
        ),
        _ScorerPart(scorer.name, scorer.model, scorer.exact, session.proxy_for or None),
    )


def _mode_part(session: Session, score: MemoryScore) -> _ModePart:
    entries = _entries(session, score.responses)
    return _ModePart("memory", score.key, score.divergence, entries, score.reason, score.within_noise)


def _entries(session: Session, responses: Sequence[int]) -> list[int]:
    return [session.conversation.responses[response] for response in responses]


def _rounded(spent: Spent) -> Spent:
    """With whole milliseconds."""
    return replace(spent, seconds=round(spent.seconds, 3))
