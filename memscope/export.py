"""A scored matrix as JSON, CSV, npz or HTML, and training examples; each file written whole or not at all."""

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from memscope.documents import check_prepared, encoded, matrix_document
from memscope.errors import InputError
from memscope.html_report import to_html
from memscope.scoring.matrix import Metric, ScoreMatrix, number
from memscope.scoring.session import Session
from memscope.training import to_examples

Table = Callable[[ScoreMatrix, Metric], bytes]
"""Writes the numbers of a matrix under a metric."""


def to_json(session: Session) -> bytes:
    """The `memscope.matrix/1` document, ending with a newline."""
    return encoded(matrix_document(session))


def to_csv(matrix: ScoreMatrix, metric: Metric) -> bytes:
    """A line a cell: memory, response's entry, state, divergence in nats (empty if not scored)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["memory", "entry", "state", "divergence"])
    for key, values, states in zip(matrix.keys, matrix.values(metric), matrix.state_names(), strict=True):
        for entry, value, state in zip(matrix.responses, map(number, values), states, strict=True):
            writer.writerow([key, entry, state, "" if value is None else value])
    return text.getvalue().encode()


def to_npz(matrix: ScoreMatrix, metric: Metric) -> bytes:
    """numpy arrays: `matrix` [M, R] in nats (NaN if not scored), `states` [M, R], `keys` [M], `weights` [M],
    `entries` [R], `dependence` [R], `logprobs` [R] in nats, `metric`."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        matrix=matrix.values(metric),
        states=np.array(matrix.state_names(), dtype=np.str_).reshape(matrix.shape),
        keys=np.array(matrix.keys, dtype=np.str_),
        weights=matrix.weights(metric),
        entries=np.array(matrix.responses, dtype=np.int64),
        dependence=matrix.dependence(metric),
        logprobs=matrix.baseline,
        metric=np.array(metric.value),
    )
    return buffer.getvalue()


def _of_session(table: Table) -> Callable[[Session], bytes]:
    def convert(session: Session) -> bytes:
        check_prepared(session)
        return table(session.matrix, session.metric)

    return convert


TABLES: dict[str, Table] = {".csv": to_csv, ".npz": to_npz}
"""What a file's ending makes of a matrix alone."""
FORMATS: dict[str, Callable[[Session], bytes]] = {
    ".json": to_json,
    **{ending: _of_session(table) for ending, table in TABLES.items()},
    ".html": to_html,
}
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


def check_training(session: Session, path: Path) -> None:
    """Raises InputError if training examples of a session can't be written to `path`."""
    if path.suffix.lower() != ".jsonl":
        raise InputError(f"{path}: the ending must be .jsonl.")
    check_target(session, path)


def export_training(session: Session, entries: Sequence[int], path: Path) -> None:
    """Write a training example for each of these responses, given by their entries' indexes, whole or not at
    all. Raises InputError if that can't be."""
    check_training(session, path)
    write_file(path, to_examples(session.conversation, entries))


def export(session: Session, path: Path) -> None:
    """Write a session's matrix in the format of the path's ending, whole or not at all.

    Raises InputError if that can't be.
    """
    check_export(session, path)
    write_file(path, FORMATS[path.suffix.lower()](session))


def export_run(session: Session, matrix: ScoreMatrix, metric: Metric, path: Path) -> None:
    """Write the matrix of a past run of a session in the format of the path's ending, whole or not at all.

    Raises InputError if that can't be: what other formats say beside the matrix is not kept with a run.
    """
    table = TABLES.get(path.suffix.lower())
    if table is None:
        raise InputError(
            f"{path}: of a past run only the numbers are kept; the ending must be one of {', '.join(TABLES)}."
        )
    check_target(session, path)
    write_file(path, table(matrix, metric))


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
