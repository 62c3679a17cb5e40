"""A scored matrix as JSON (`memscope.matrix/1`), CSV or npz."""

import csv
import io
import math
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from memscope.errors import InputError
from memscope.scoring.matrix import CellState, ScoreMatrix
from memscope.scoring.session import Session

SCHEMA = "memscope.matrix/1"


class _SessionPart(msgspec.Struct):
    path: str
    format: str
    title: str


class _ScorerPart(msgspec.Struct):
    name: str
    model: str
    exact: bool


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


class _CostPart(msgspec.Struct):
    tokens_naive: int
    tokens_needed: int
    tokens_computed: int
    cells_from_cache: int
    requests: int
    seconds: float


class MatrixDocument(msgspec.Struct):
    """The JSON of a scored matrix; numbers in nats, null wherever a cell is not scored."""

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
    cost: _CostPart


def matrix_document(session: Session) -> MatrixDocument:
    """The document of a prepared session as it stands now. Raises InputError if it is not prepared."""
    if session.run is None or session.scorer is None:
        raise InputError("There is nothing to export yet: the model is not open.")
    conversation, matrix, metric, run = session.conversation, session.matrix, session.metric, session.run
    weights, dependence = matrix.weights(metric), matrix.dependence(metric)
    source = conversation.source
    return MatrixDocument(
        schema=SCHEMA,
        session=_SessionPart(source.path, source.format, source.title),
        scorer=_ScorerPart(session.scorer.name, session.scorer.model, session.scorer.exact),
        metric=metric.value,
        noise_floor=session.noise_floor,
        memories=[
            _MemoryPart(
                memory.key,
                list(memory.entries),
                _number(weights[m]),
                matrix.row_state(m).name.lower(),
                matrix.errors.get(m),
            )
            for m, memory in enumerate(conversation.memories)
        ],
        responses=[
            _ResponsePart(
                entry,
                int(matrix.tokens[r]),
                _number(matrix.baseline[r]),
                _number(dependence[r]),
                _number(matrix.noise[r]),
            )
            for r, entry in enumerate(conversation.responses)
        ],
        matrix=[[_number(value) for value in row] for row in matrix.values(metric)],
        states=[[CellState(state).name.lower() for state in row] for row in matrix.states],
        important={
            str(entry): [(matrix.keys[m], value) for m, value in matrix.important(r, metric)]
            for r, entry in enumerate(conversation.responses)
        },
        windows=[
            _WindowPart([conversation.responses[r] for r in window.responses], list(window.left_out))
            for window in run.plan.windows
        ],
        notes=list(session.notes),
        cost=_CostPart(
            run.plan.cost.tokens_naive,
            run.plan.cost.tokens_needed,
            run.tokens_computed,
            run.cells_from_cache,
            run.requests,
            round(run.seconds, 3),
        ),
    )


def to_json(session: Session) -> bytes:
    """The `memscope.matrix/1` document, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(matrix_document(session)), indent=1) + b"\n"


def to_csv(session: Session) -> bytes:
    """A line a cell: memory, response's entry, state, divergence in nats (empty if not scored)."""
    document = matrix_document(session)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["memory", "entry", "state", "divergence"])
    for memory, values, states in zip(document.memories, document.matrix, document.states, strict=True):
        for response, value, state in zip(document.responses, values, states, strict=True):
            writer.writerow([memory.key, response.entry, state, "" if value is None else value])
    return text.getvalue().encode()


def to_npz(session: Session) -> bytes:
    """numpy arrays: `matrix` [M, R] in nats (NaN if not scored), `states` [M, R], `keys` [M], `weights` [M],
    `entries` [R], `dependence` [R], `logprobs` [R] in nats, `metric`."""
    document = matrix_document(session)
    matrix: ScoreMatrix = session.matrix
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        matrix=matrix.values(session.metric),
        states=np.array(document.states, dtype=np.str_).reshape(matrix.shape),
        keys=np.array(matrix.keys, dtype=np.str_),
        weights=matrix.weights(session.metric),
        entries=np.array(matrix.responses, dtype=np.int64),
        dependence=matrix.dependence(session.metric),
        logprobs=matrix.baseline,
        metric=np.array(document.metric),
    )
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Session], bytes]] = {".json": to_json, ".csv": to_csv, ".npz": to_npz}
"""What a file's ending makes of a session."""


def check_target(session: Session, path: Path) -> None:
    """Raises InputError if a file can't be written to `path`, or is the conversation itself: what memscope
    reads it never writes."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file.")
        if not path.parent.is_dir():
            raise InputError(f"{path} can't be written: there is no folder {path.parent}.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise InputError(f"{path} can't be written: you may not write there.")
        source = Path(session.conversation.source.path)
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path} is the conversation itself; choose another file.")
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror or error}.") from error


def check_export(session: Session, path: Path) -> None:
    """Raises InputError if a session can't be exported to `path`."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: the ending must be one of {', '.join(FORMATS)}.")
    check_target(session, path)


def export(session: Session, path: Path) -> None:
    """Write a session's matrix in the format of the path's ending, whole or not at all.

    Raises InputError if that can't be.
    """
    check_export(session, path)
    write_file(path, FORMATS[path.suffix.lower()](session))


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a device or a pipe is written to. Raises InputError."""
    try:
        target = path.resolve()
        if target.is_symlink():
            raise RuntimeError
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # so does pathlib for links in a circle before Python 3.13
        reason = error.strerror if isinstance(error, OSError) else "its links go round in a circle"
        raise InputError(f"{path} can't be written: {reason}.") from error


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
