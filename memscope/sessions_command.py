"""What `memscope sessions` does: every session on this machine as a table or as JSON."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from memscope.activity import Activities
from memscope.conversation.library import Library, Listed, open_library
from memscope.conversation.library.listed import text_of
from memscope.database import FILE
from memscope.ledger import stamp
from memscope.progress import show_progress
from memscope.scoring.runs import Runs
from memscope.session_rows import Row, rows_of
from memscope.settings import cache_dir
from memscope.text import cells, fit, one_line
from memscope.wording import age

SCHEMA = "memscope.sessions/1"
_COUNTED_SIZE, _COUNTED_SECONDS = 4_000_000, 2.0
"""Bytes of the largest file that is read whole to be counted, and how long that may go on in all."""
_LEAST_TITLE, _MOST = 24, 20
"""Cells of the column of titles, and of any other."""
_NUMBERS = ("entries", "memories", "responses")
_UNKNOWN, _UNREADABLE = "?", "-"


class _RunPart(msgspec.Struct):
    """The newest scoring of a session: when it began, and the memory with the largest weight, in nats under
    the metric; null if nothing was scored."""

    began: str
    metric: str
    strongest: str | None
    weight: float | None


class _SessionPart(msgspec.Struct):
    """A session; `modified` is in UTC, `size` in bytes, `here` whether the agent worked in the current
    directory. Null is what is not known, as what was not counted yet."""

    path: str
    branch: str | None
    format: str | None
    agent: str | None
    title: str
    folder: str | None
    author: str | None
    modified: str | None
    size: int
    entries: int | None
    memories: int | None
    responses: int | None
    problem: str | None
    subagent: bool
    here: bool
    run: _RunPart | None


class SessionsDocument(msgspec.Struct):
    """The JSON of all sessions, newest first; `notes` say what could not be looked at."""

    schema: str
    sessions: list[_SessionPart]
    notes: list[str]


@dataclass(frozen=True)
class Sessions:
    """The sessions that were found, newest first; `folder` is the current directory."""

    folder: Path
    rows: list[Row]
    notes: tuple[str, ...]

    def document(self) -> bytes:
        """All of them as JSON, ending with a newline."""
        document = SessionsDocument(SCHEMA, list(map(_part, self.rows)), list(self.notes))
        return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"

    def table(self, now: float, width: int, *, subagents: bool) -> str:
        """A line each as of the time `now`, `width` cells and the path, those of the current directory first;
        those of subagents if asked for."""
        shown = [row for row in self.rows if subagents or not row.listed.subagent]
        lines = list(_table(shown, self.folder, now, width)) if shown else []
        if hidden := len(self.rows) - len(shown):
            of = "session of a subagent is" if hidden == 1 else "sessions of subagents are"
            lines += ["", f"{hidden:,} {of} not shown; --subagents shows them all."]
        for note in self.notes:
            lines += ["", one_line(note)]
        return "".join(f"{line.rstrip()}\n" for line in lines)


def find_sessions(folder: Path) -> Sessions:
    """Find all sessions and count in the small ones, with progress on standard error; `folder` is the current
    directory. Raises InputError if the settings can't be read."""
    library, runs = open_library(folder), Runs(cache_dir() / FILE)
    activities = Activities()
    found: list[Listed] = []
    try:
        with show_progress(activities):
            with activities.track("looking for sessions", unit="sessions") as activity:
                for batch in library.scan(threading.Event()):
                    found += batch
                    activity.advance(len(batch))
            _count_in(found, library, activities)
        found.sort(key=lambda each: each.modified, reverse=True)
        rows = rows_of(found, library, runs)
    finally:
        library.close()
        runs.close()
    return Sessions(folder, rows, library.notes)


def _count_in(found: list[Listed], library: Library, activities: Activities) -> None:
    """Count in the small ones, those of the current directory first, as far as the time allows."""
    small = [
        at
        for at, each in enumerate(found)
        if not each.counted and (each.branch or each.size <= _COUNTED_SIZE)
    ]
    small.sort(key=lambda at: not library.is_here(found[at]))
    until = time.monotonic() + _COUNTED_SECONDS
    if small:
        with activities.track("counting", total=len(small), unit="sessions") as activity:
            for at in small:
                if time.monotonic() > until:
                    break
                found[at] = library.count(found[at])
                activity.advance()


def _part(row: Row) -> _SessionPart:
    listed, run = row.listed, row.run
    return _SessionPart(
        text_of(listed.path),
        listed.branch or None,
        listed.format or None,
        listed.agent or None,
        listed.title,
        listed.folder or None,
        listed.author or None,
        _moment(listed.modified),
        listed.size,
        listed.entries,
        listed.memories,
        listed.responses,
        listed.problem or None,
        listed.subagent,
        row.here,
        None if run is None else _RunPart(stamp(run.began), run.metric.value, run.strongest, run.weight),
    )


def _moment(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def _table(rows: Sequence[Row], folder: Path, now: float, width: int) -> Iterator[str]:
    def widest(least: int, text: Callable[[Row], str], most: int) -> int:
        return min(max([least, *(cells(one_line(text(row))) for row in rows)]), most)

    columns: list[tuple[str, int, Callable[[Row], str]]] = [
        ("agent", widest(5, lambda row: row.listed.agent, _MOST), lambda row: row.listed.agent),
        ("project", widest(7, lambda row: row.project, _MOST), lambda row: row.project),
        ("age", 13, lambda row: age(now - row.listed.modified)),
        ("entries", 7, lambda row: _count(row.listed, row.listed.entries)),
        ("memories", 8, lambda row: _count(row.listed, row.listed.memories)),
        ("responses", 9, lambda row: _count(row.listed, row.listed.responses)),
    ]
    if any(row.run for row in rows):
        columns += [
            ("scored", 13, lambda row: age(now - row.run.began.timestamp()) if row.run else ""),
            ("strongest memory", widest(16, lambda row: row.strongest, 2 * _MOST), lambda row: row.strongest),
        ]
    columns.append(("format", widest(6, lambda row: row.listed.format, _MOST), lambda row: row.listed.format))
    left = width - 4 - sum(2 + size for _, size, _ in columns)
    columns.insert(0, ("title", max(_LEAST_TITLE, left), _title))
    yield "  " + "  ".join(fit(name, size) for name, size, _ in columns) + "  path"
    for heading, here in (("In this folder", True), ("Elsewhere", False)):
        section = [row for row in rows if row.here is here]
        if section:
            yield heading
        for row in section:
            texts = [_cell(name, text(row), size) for name, size, text in columns]
            yield "  " + "  ".join(texts) + f"  {_path(row.listed, folder)}"
    if any(not row.listed.counted for row in rows):
        yield ""
        yield f"{_UNKNOWN} marks what is not counted yet; calling this again goes on with small files."


def _cell(name: str, text: str, width: int) -> str:
    return text.rjust(width) if name in _NUMBERS else fit(text, width)


def _title(row: Row) -> str:
    return f"! {row.listed.problem}" if row.listed.problem else row.listed.title


def _count(listed: Listed, count: int | None) -> str:
    if count is None:
        return _UNREADABLE if listed.problem else _UNKNOWN
    return f"{count:,}"


def _path(listed: Listed, folder: Path) -> str:
    """The path as short as it can be said, on one line and printable."""
    path = listed.path
    for base, instead in ((str(folder), ""), (os.path.expanduser("~"), "~/")):
        if path.startswith(base + os.sep):
            path = instead + path[len(base) + 1 :]
            break
    return one_line(text_of(path)) + (f" ({one_line(listed.branch)})" if listed.branch else "")
