"""Past scorings in SQLite: what each one was, how it ended, and its matrix as it was."""

import io
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import STANDARD_INPUT
from memscope.database import Database
from memscope.errors import InputError
from memscope.ledger import stamp
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix

# UNIQUE makes the index by which a session's runs are found
_TABLE = """CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL, branch TEXT NOT NULL, title TEXT NOT NULL,
    began TEXT NOT NULL, seconds REAL NOT NULL, scorer TEXT NOT NULL, model TEXT NOT NULL,
    exact INTEGER NOT NULL, metric TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    scored INTEGER NOT NULL, failed INTEGER NOT NULL, missing INTEGER NOT NULL,
    tokens_computed INTEGER NOT NULL, tokens_needed INTEGER NOT NULL, cells_from_cache INTEGER NOT NULL,
    requests INTEGER NOT NULL, memories INTEGER NOT NULL, responses INTEGER NOT NULL,
    strongest TEXT, weight REAL, matrix BLOB NOT NULL, UNIQUE (session, branch, id)
)"""
_BATCH = 500
"""Sessions a query may name; SQLite's oldest limit is 999."""
_KEPT = 64 << 20
"""Bytes of matrices kept of one session; of more than that the oldest runs go."""
_PRUNE = """DELETE FROM runs WHERE id < ?1 AND id IN (
    SELECT id FROM (
        SELECT id, SUM(LENGTH(matrix)) OVER (ORDER BY id DESC) AS size
        FROM runs WHERE session = ?2 AND branch = ?3
    ) WHERE size > ?4
)"""
_OF_THE_PAST = [state for state in CellState if state is not CellState.RUNNING]


class RunState(StrEnum):
    """How a scoring ended: with everything that it was to score, before that, or with failed cells."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class RunInfo:
    """One scoring of a session, numbered `id` once it is kept.

    `session` is the file's real path, empty for standard input. `began` is in UTC, `seconds` how long it
    took; `reason` is the first of why it failed, empty if nothing did. `scored`, `failed` and `missing`
    count the cells of the whole matrix as it stood at the end; `cells_from_cache`, `tokens_computed` and
    `requests` what this scoring recalled and asked for, `tokens_needed` what the whole matrix takes.
    `strongest` is the key of the memory with the largest `weight`, in nats under `metric`; None if nothing
    was scored.
    """

    session: str
    branch: str
    title: str
    began: datetime
    seconds: float
    scorer: str
    model: str
    exact: bool
    metric: Metric
    state: RunState
    reason: str
    scored: int
    failed: int
    missing: int
    tokens_computed: int
    tokens_needed: int
    cells_from_cache: int
    requests: int
    memories: int
    responses: int
    strongest: str | None
    weight: float | None
    id: int = 0


_FIELDS = [field.name for field in fields(RunInfo)]
_COLUMNS = ", ".join(_FIELDS)


class Runs:
    """Runs by session and branch; every method may be called from any thread and from several programs.

    While the file can't be used (read-only, full, damaged, locked) `problem` says so in one sentence, and
    nothing is kept or found.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path, _TABLE)

    @property
    def problem(self) -> str | None:
        """Why runs are not kept or found, if they are not."""
        return None if self._database.problem is None else f"Runs are not kept: {self._database.problem}."

    def record(self, info: RunInfo, matrix: ScoreMatrix) -> RunInfo | None:
        """Keep a run, in place of the oldest ones of a session that has too many; with its `id`, or None if
        there is a `problem`. It is on disk when this returns."""
        kept = replace(info, session=session_path(info.session))
        names = [name for name in _FIELDS if name != "id"]
        values = [*map(_column, astuple(kept)[: len(names)]), _packed(matrix)]
        insert = f"INSERT INTO runs ({', '.join(names)}, matrix) VALUES ({', '.join('?' * len(values))})"
        number: list[int | None] = []

        def change(file: sqlite3.Connection) -> None:
            number.append(file.execute(insert, values).lastrowid)
            file.execute(_PRUNE, (number[0], values[0], values[1], _KEPT))

        if not self._database.write(change) or number[0] is None:
            return None
        return replace(kept, id=number[0])

    def of(self, session: str, branch: str = "") -> list[RunInfo]:
        """The runs of a session's file and branch, newest first."""
        query = f"SELECT {_COLUMNS} FROM runs WHERE session = ? AND branch = ? ORDER BY id DESC"
        where = (_clean(session_path(session)), _clean(branch))
        return [run for row in self._database.execute(query, where) if (run := _info(row)) is not None]

    def latest(self, sessions: Iterable[str]) -> dict[tuple[str, str], RunInfo]:
        """The newest run of every branch of these files, by the file's path as given here and the branch."""
        given: dict[str, list[str]] = {}
        for session in sessions:
            given.setdefault(_clean(session_path(session)), []).append(session)
        paths, found = list(given), {}
        for at in range(0, len(paths), _BATCH):
            batch = paths[at : at + _BATCH]
            newest = (
                f"SELECT MAX(id) FROM runs WHERE session IN ({', '.join('?' * len(batch))}) "
                "GROUP BY session, branch"
            )
            for row in self._database.execute(f"SELECT {_COLUMNS} FROM runs WHERE id IN ({newest})", batch):
                if (run := _info(row)) is not None:
                    found.update({(session, run.branch): run for session in given[run.session]})
        return found

    def matrix(self, number: int) -> ScoreMatrix:
        """A run's matrix as it was. Raises InputError if the run is not there any more, or is damaged."""
        rows = self._database.execute("SELECT matrix FROM runs WHERE id = ?", (number,))
        if not rows:
            raise InputError(self.problem or f"Run {number} is not kept any more.")
        try:
            return _unpacked(rows[0][0])
        except Exception as error:  # whatever zipfile, numpy and msgspec raise on damaged bytes
            raise InputError(
                f"The matrix of run {number} in {self._path} is damaged; delete the run and score again."
            ) from error

    def delete(self, number: int) -> bool:
        """Delete a run; whether it is gone from disk."""
        return self._database.write(lambda file: file.execute("DELETE FROM runs WHERE id = ?", (number,)))

    def close(self) -> None:
        """Close the file; nothing is kept or found afterwards."""
        self._database.close()


def session_path(path: str) -> str:
    """The name under which a conversation's runs are kept: its file's real path, empty for standard input."""
    if path in ("", STANDARD_INPUT):
        return ""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a working directory that is gone, a null character
        return path


class _Texts(msgspec.Struct):
    """The texts of a matrix; `errors` by row."""

    keys: list[str]
    errors: dict[int, str]


def _packed(matrix: ScoreMatrix) -> bytes:
    """A matrix as a compressed npz; texts as JSON, for numpy cuts a null character off their end."""
    texts = _Texts(
        [_clean(key) for key in matrix.keys], {row: _clean(why) for row, why in matrix.errors.items()}
    )
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        texts=np.frombuffer(msgspec.json.encode(texts), np.uint8),
        responses=np.array(matrix.responses, np.int64),
        states=matrix.states,
        signed=matrix.values(Metric.SIGNED),
        token_clamped=matrix.values(Metric.TOKEN_CLAMPED),
        tokens=matrix.tokens,
        baseline=matrix.baseline,
        noise=matrix.noise,
        per_token=np.array(matrix.per_token),
        origins=matrix.origins,
    )
    return buffer.getvalue()


def _unpacked(data: bytes) -> ScoreMatrix:
    """Raises all kinds of exceptions if these bytes are not a packed matrix."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        texts = msgspec.json.decode(file["texts"].tobytes(), type=_Texts)
        responses = file["responses"]
        cells, columns = (len(texts.keys), len(responses)), (len(responses),)
        _array(responses, np.int64, columns)
        states = _array(file["states"], np.uint8, cells)
        signed = _array(file["signed"], np.float64, cells)
        token_clamped = _array(file["token_clamped"], np.float64, cells)
        matrix = ScoreMatrix(
            texts.keys,
            responses.tolist(),
            states != CellState.IMPOSSIBLE,
            per_token=bool(_array(file["per_token"], np.bool_, ())),
        )
        matrix.tokens = _array(file["tokens"], np.int64, columns)
        matrix.baseline = _array(file["baseline"], np.float64, columns)
        matrix.noise = _array(file["noise"], np.float64, columns)
        if "origins" in file:  # which older runs do not tell
            matrix.origins = _array(file["origins"], np.uint8, matrix.origins.shape)
    scored = states == CellState.SCORED
    if not np.isin(states, _OF_THE_PAST).all() or not all(0 <= row < cells[0] for row in texts.errors):
        raise ValueError("there are no such states or rows")
    if (np.isfinite(signed) != scored).any():
        raise ValueError("cells have numbers that are not scored, or the reverse")
    if (np.isfinite(token_clamped) != (scored & matrix.per_token)).any():
        raise ValueError("the numbers of the metrics are not of the same cells")
    matrix.set_all(states, signed, token_clamped)
    matrix.errors = texts.errors
    return matrix


def _array(array: NDArray[Any], kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.dtype != kind or array.shape != shape:
        raise ValueError(f"an array is {array.dtype} {array.shape}")
    return array


def _column(value: Any) -> Any:
    """A value as SQLite holds it."""
    if isinstance(value, datetime):
        return stamp(value)
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode()


def _info(row: tuple[Any, ...]) -> RunInfo | None:
    """None if the row does not hold what it should."""
    values = dict(zip(_FIELDS, row, strict=True))
    try:
        values["began"] = datetime.fromisoformat(values["began"]).astimezone(UTC)
        values["exact"] = bool(values["exact"])
        return msgspec.convert(values, RunInfo)
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError):
        return None
