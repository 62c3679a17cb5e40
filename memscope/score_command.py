"""What `memscope score` does: the whole matrix, or one of the other modes. Only names are imported here."""

import asyncio
import math
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from memscope.errors import InputError, NothingToScoreError
from memscope.wording import counted, seconds_of

if TYPE_CHECKING:
    from memscope.ledger import LedgerEntry
    from memscope.scoring.fidelity import Fidelity
    from memscope.scoring.modes import IncrementalScore
    from memscope.scoring.session import Session

FAILED_ALL, FAILED_SOME = 1, 3
_MAX_AGE, _WINDOW, _LAST = "1d", 10, 50
_MASKS, _FEWEST_MASKS, _MOST_MASKS = 32, 3, 1024
_OF_MODE = {
    "memory": (),
    "incremental": ("max_age", "window"),
    "training": ("last", "target", "top", "above"),
    "fidelity": ("masks", "seed"),
}
"""The modes, and the options that only they take."""
_OPTIONS = {
    "memory": "--memory",
    "incremental": "--incremental",
    "training": "--training",
    "max_age": "--max-age",
    "window": "--window",
    "last": "--last",
    "target": "--to",
    "top": "--top",
    "above": "--above",
    "fidelity": "--fidelity",
    "masks": "--masks",
    "seed": "--seed",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Mode:
    """What to score; all of the matrix if `name` is None, and how faithful it is if that is `fidelity`.
    `max_age` is in seconds, `above` in nats."""

    name: str | None = None
    key: str = ""
    max_age: float = 0.0
    window: int = _WINDOW
    last: int = _LAST
    target: Path | None = None
    top: int | None = None
    above: float = 0.0
    masks: int = _MASKS
    seed: int = 0


@dataclass(frozen=True)
class Scored:
    """An exit status, the JSON, and the table for a terminal's width; `problem` says in a sentence why there
    is nothing to show."""

    status: int
    document: Callable[[], bytes]
    table: Callable[[int], str]
    problem: str | None = None


def mode_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options of `memscope score` that choose a mode."""
    options = (
        click.option("--memory", metavar="KEY", help="Score one memory, up to the 50th response after it."),
        click.option(
            "--incremental", is_flag=True, help="Score the memories that are due, and keep a ledger of them."
        ),
        click.option(
            "--max-age",
            metavar="AGE",
            help=f"A memory is due again after 3600, 90s, 30m, 12h, 7d (default: {_MAX_AGE}).",
        ),
        click.option(
            "--window", metavar="N", help=f"Responses to score for a memory that is due (default: {_WINDOW})."
        ),
        click.option(
            "--training",
            is_flag=True,
            help="Score without any memory: what has the model not learnt yet?",
        ),
        click.option("--last", metavar="N", help=f"Entries to look for training in (default: {_LAST})."),
        click.option(
            "--to", "target", metavar="FILE.jsonl", help="Write training examples without the memories."
        ),
        click.option("--top", metavar="K", help="Write so many at most (default: all)."),
        click.option("--above", metavar="NATS", help="Write those with more divergence (default: 0)."),
        click.option(
            "--fidelity",
            is_flag=True,
            help="Also measure how well the matrix predicts, and what it can't see.",
        ),
        click.option(
            "--masks", metavar="N", help=f"Random sets of memories to leave out for that (default: {_MASKS})."
        ),
        click.option("--seed", metavar="N", help="What they are drawn with (default: 0)."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def take_mode(options: dict[str, Any]) -> Mode:
    """Take the options that choose a mode out of a command's options. Raises InputError if they do not go
    together."""
    given = {name: options.pop(name) for name in _OPTIONS}
    given = {name: value for name, value in given.items() if value not in (None, False)}
    modes = [name for name in _OF_MODE if name in given]
    if len(modes) > 1:
        raise InputError(f"{' and '.join(_OPTIONS[name] for name in modes)} exclude each other; choose one.")
    for mode, names in _OF_MODE.items():
        for name in names:
            if name in given and mode not in given:
                raise InputError(f"{_OPTIONS[name]} goes with {_OPTIONS[mode]} only.")
    for name in ("top", "above"):
        if name in given and "target" not in given:
            raise InputError(f"{_OPTIONS[name]} chooses what --to writes; give --to FILE.jsonl too.")
    return Mode(
        modes[0] if modes else None,
        key=given.get("memory", ""),
        max_age=seconds_of(given.get("max_age", _MAX_AGE), "--max-age"),
        window=_whole(given, "window") or _WINDOW,
        last=_whole(given, "last") or _LAST,
        target=Path(given["target"]) if "target" in given else None,
        top=_whole(given, "top"),
        above=_nats(given, "above"),
        masks=_masks(given),
        seed=_seed(given),
    )


def check_mode(session: "Session", mode: Mode, json_path: str | None) -> None:
    """Raises InputError, before anything is scored, if the training examples can't be written where `--to`
    says."""
    from memscope.export import check_training

    if mode.target is None:
        return
    check_training(session, mode.target)
    if json_path is not None and os.path.realpath(json_path) == os.path.realpath(mode.target):
        raise InputError(f"{mode.target} is what --json writes; choose another file.")


def score_session(session: "Session", mode: Mode, *, fresh: bool) -> Scored:
    """Score in a mode, with progress on standard error. Raises MemscopeError."""
    if mode.name == "memory":
        return _memory(session, mode, fresh)
    path = session.conversation.source.path
    if not session.conversation.memories:
        from memscope.conversation.rules import HOW_TO_MARK

        raise NothingToScoreError(f"{path} holds no memories. {HOW_TO_MARK}")
    if not session.conversation.responses:
        raise NothingToScoreError(f"{path} holds no response of the agent to score.")
    if mode.name == "incremental":
        return _incremental(session, mode, fresh)
    if mode.name == "training":
        return _training(session, mode, fresh)
    return _matrix(session, mode, fresh)


def read_ledger() -> "list[LedgerEntry]":
    """The entries of the ledger, largest weight first. Raises InputError if its file can't be used."""
    from memscope.database import FILE
    from memscope.ledger import Ledger
    from memscope.settings import cache_dir

    path = cache_dir() / FILE
    if not path.exists():
        return []
    ledger = Ledger(path)
    entries = ledger.entries()
    ledger.close()
    if ledger.cause:
        raise InputError(f"The ledger can't be read: {ledger.cause}.")
    return entries


def _matrix(session: "Session", mode: Mode, fresh: bool) -> Scored:
    from memscope.documents import encoded, matrix_document
    from memscope.report import fidelity_cost, report
    from memscope.scoring.fidelity import measure_fidelity, plan_fidelity
    from memscope.scoring.matrix import CellState

    async def work() -> "Fidelity | None":
        async for _ in session.score(fresh=fresh):
            pass
        if mode.name != "fidelity" or not session.matrix.count(CellState.SCORED):
            return None
        plan = await plan_fidelity(session, masks=mode.masks, seed=mode.seed, fresh=fresh)
        session.activities.notify(fidelity_cost(plan))
        return await measure_fidelity(session, plan)

    fidelity = _prepared(session, work)
    scored, failed = session.matrix.count(CellState.SCORED), session.matrix.count(CellState.FAILED)
    if not scored and not failed:
        _nothing(session, "no response follows a memory within the model's context.")
    return Scored(
        _status(scored, failed + len(fidelity.failed if fidelity else ())),
        lambda: encoded(matrix_document(session, fidelity=fidelity)),
        lambda width: report(session, width, fidelity),
    )


def _memory(session: "Session", mode: Mode, fresh: bool) -> Scored:
    from memscope.documents import encoded, matrix_document
    from memscope.report import memory_report
    from memscope.scoring.matrix import CellState
    from memscope.scoring.modes import Outcome, score_memory

    score = _prepared(session, lambda: score_memory(session, mode.key, fresh=fresh))
    problem, status = None, 0
    if score.outcome is Outcome.SKIPPED:
        path = session.conversation.source.path
        problem, status = f"{path} has nothing to score for {mode.key!r}: {score.reason}.", FAILED_ALL
    else:
        states = session.matrix.states[session.matrix.keys.index(mode.key), list(score.responses)]
        status = _status(int((states == CellState.SCORED).sum()), int((states == CellState.FAILED).sum()))
    return Scored(
        status,
        lambda: encoded(matrix_document(session, score)),
        lambda width: memory_report(session, score, width),
        problem,
    )


def _incremental(session: "Session", mode: Mode, fresh: bool) -> Scored:
    from memscope.database import FILE
    from memscope.documents import encoded, incremental_document
    from memscope.ledger import Ledger
    from memscope.report import incremental_report
    from memscope.scoring.modes import Outcome, score_incremental, spent_incrementally, with_all_noise
    from memscope.settings import cache_dir

    ledger = Ledger(cache_dir() / FILE)

    async def work() -> "list[IncrementalScore]":
        scores = score_incremental(session, ledger, max_age=mode.max_age, window=mode.window, fresh=fresh)
        return [score async for score in scores]

    try:
        results = with_all_noise(session, _prepared(session, work))
    finally:
        ledger.close()
    notes = list(dict.fromkeys([*session.notes, *filter(None, [ledger.problem])]))
    count = [result.outcome for result in results].count
    known = len(session.matrix.keys) - len(results)
    status = _status(count(Outcome.SCORED), count(Outcome.FAILED))
    if count(Outcome.SKIPPED) and not known and not count(Outcome.SCORED):
        status = FAILED_ALL
    return Scored(
        status,
        lambda: encoded(
            incremental_document(
                session,
                results,
                spent_incrementally(session, results),
                max_age=mode.max_age,
                window=mode.window,
                notes=notes,
            )
        ),
        lambda width: incremental_report(session, results, notes, width),
    )


def _training(session: "Session", mode: Mode, fresh: bool) -> Scored:
    from memscope.documents import encoded, training_document
    from memscope.export import export_training
    from memscope.report import training_report
    from memscope.scoring.candidates import chosen
    from memscope.scoring.matrix import CellState
    from memscope.scoring.modes import score_training
    from memscope.text import printable

    training = _prepared(session, lambda: score_training(session, mode.last, fresh=fresh))
    states = [candidate.state for candidate in training.candidates]
    scored, failed = states.count(CellState.SCORED), states.count(CellState.FAILED)
    if not scored and not failed:
        _nothing(
            session,
            f"no response among the last {mode.last} entries follows a memory within the model's context.",
        )
    if mode.target is not None and scored:
        entries = [candidate.entry for candidate in chosen(training.candidates, mode.top, mode.above)]
        export_training(session, entries, mode.target)
        examples = counted(len(entries), "training example")
        click.echo(f"Wrote {examples} to {printable(str(mode.target))}.", err=True)
    return Scored(
        _status(scored, failed),
        lambda: encoded(training_document(session, training, last=mode.last)),
        lambda width: training_report(session, training, width),
    )


def _prepared(session: "Session", work: Callable[[], Awaitable[T]]) -> T:
    """Prepare a session, do the work and let go of the scorer, with progress on standard error."""
    from memscope.progress import show_progress

    async def run() -> T:
        try:
            await session.prepare()
            return await work()
        finally:
            await session.release()

    with show_progress(session.activities):
        return asyncio.run(run())


def _status(scored: int, failed: int) -> int:
    return (FAILED_SOME if scored else FAILED_ALL) if failed else 0


def _nothing(session: "Session", why: str) -> NoReturn:
    reasons = " ".join((why, *session.notes))
    raise NothingToScoreError(f"{session.conversation.source.path} has nothing to score: {reasons}")


def _whole(given: dict[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) is None:
        raise InputError(f"{_OPTIONS[name]} is {text!r}; it must be a whole number above zero.")
    return int(text)


def _masks(given: dict[str, str]) -> int:
    masks = _whole(given, "masks") or _MASKS
    if not _FEWEST_MASKS <= masks <= _MOST_MASKS:
        raise InputError(f"--masks is {masks:,}; it must be from {_FEWEST_MASKS} to {_MOST_MASKS:,}.")
    return masks


def _seed(given: dict[str, str]) -> int:
    text = given.get("seed", "0")
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise InputError(f"--seed is {text!r}; it must be a whole number such as 0.")
    return int(text)


def _nats(given: dict[str, str], name: str) -> float:
    text = given.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{_OPTIONS[name]} is {text!r}; it must be a number of nats such as 0.5.")
    return value
