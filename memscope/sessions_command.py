"""What `memscope sessions` does: every session on this machine as a table or as JSON."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from memscope.activity import Activities
from memscope.conversation.library import Library, Listed, places
from memscope.conversation.library.listed import text_of
from memscope.database import FILE
from memscope.progress import show_progress
from memscope.settings import cache_dir
from memscope.text import cells, fit, one_line
from memscope.wording import age

SCHEMA = "memscope.sessions/1"
_COUNTED_SIZE, _COUNTED_SECONDS = 4_000_000, 2.0
"""Bytes of the largest file that is read whole to be counted, and how long that may go on in all."""
_LEAST_TITLE, _MOST_PROJECT = 24, 20
_UNKNOWN, _UNREADABLE = "?", "-"


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


class SessionsDocument(msgspec.Struct):
    """The JSON of all sessions, newest first; `notes` say what could not be looked at."""

    schema: str
    sessions: list[_SessionPart]
    notes: list[str]


@dataclass(frozen=True)
class Sessions:
    """The sessions that were found, newest first, those of the current directory `folder` apart."""

    folder: Path
    here: list[Listed]
    elsewhere: list[Listed]
    notes: tuple[str, ...]

    def document(self) -> bytes:
        """All of them as JSON, ending with a newline."""
        parts = [(each, True) for each in self.here] + [(each, False) for each in self.elsewhere]
        parts.sort(key=lambda part: part[0].modified, reverse=True)
        document = SessionsDocument(SCHEMA, [_part(each, here) for each, here in parts], list(self.notes))
        return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"

    def table(self, now: float, width: int, *, subagents: bool) -> str:
        """A line each as of the time `now`, `width` cells and the path; those of subagents if asked for."""
        sections = [
            (heading, [each for each in sessions if subagents or not each.subagent])
            for heading, sessions in (("In this folder", self.here), ("Elsewhere", self.elsewhere))
        ]
        lines = list(_table([section for section in sections if section[1]], self.folder, now, width))
        hidden = sum(each.subagent for each in (*self.here, *self.elsewhere))
        if hidden and not subagents:
            of = "session of a subagent is" if hidden == 1 else "sessions of subagents are"
            lines += ["", f"{hidden:,} {of} not shown; --subagents shows them all."]
        for note in self.notes:
            lines += ["", one_line(note)]
        return "".join(f"{line.rstrip()}\n" for line in lines)


def find_sessions(folder: Path) -> Sessions:
    """Find all sessions and count in the small ones, with progress on standard error; `folder` is the current
    directory. Raises InputError if the settings can't be read."""
    library = Library(cache_dir() / FILE, places(folder), folder)
    activities, stop = Activities(), threading.Event()
    found: list[Listed] = []
    try:
        with show_progress(activities):
            with activities.track("looking for sessions", unit="sessions") as activity:
                for batch in library.scan(stop):
                    found += batch
                    activity.advance(len(batch))
            small = [at for at, each in enumerate(found) if not each.counted and each.size <= _COUNTED_SIZE]
            small.sort(key=lambda at: not library.is_here(found[at]))
            if small:
                until = time.monotonic() + _COUNTED_SECONDS
                with activities.track("counting", total=len(small), unit="sessions") as activity:
                    for at in small:
                        if time.monotonic() > until:
                            break
                        found[at] = library.count(found[at])
                        activity.advance()
    finally:
        library.close()
    here = [each for each in found if library.is_here(each)]
    elsewhere = [each for each in found if not library.is_here(each)]
    return Sessions(folder, here, elsewhere, library.notes)


def _part(listed: Listed, here: bool) -> _SessionPart:
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
        here,
    )


def _moment(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def _table(
    sections: Sequence[tuple[str, Sequence[Listed]]], folder: Path, now: float, width: int
) -> Iterator[str]:
    everything = [each for _, sessions in sections for each in sessions]
    if not everything:
        return
    agent = max([5, *(cells(one_line(each.agent)) for each in everything)])
    form = max([6, *(cells(one_line(each.format)) for each in everything)])
    project = min(max([7, *(cells(one_line(_project(each))) for each in everything)]), _MOST_PROJECT)
    numbers = f"{'age':13}  {'entries':>7}  {'memories':>8}  {'responses':>9}"
    title = max(_LEAST_TITLE, width - agent - form - project - cells(numbers) - 10)
    titles = f"{fit('title', title)}  {fit('agent', agent)}  {fit('project', project)}"
    yield f"  {titles}  {numbers}  {fit('format', form)}  path"
    for heading, sessions in sections:
        yield heading
        for each in sessions:
            counts = (_count(each, each.entries), _count(each, each.memories), _count(each, each.responses))
            yield (
                f"  {fit(f'! {each.problem}' if each.problem else each.title, title)}"
                f"  {fit(each.agent, agent)}  {fit(_project(each), project)}"
                f"  {fit(age(now - each.modified), 13)}"
                f"  {counts[0]:>7}  {counts[1]:>8}  {counts[2]:>9}"
                f"  {fit(each.format, form)}  {_path(each, folder)}"
            )
    if any(not each.counted for each in everything):
        yield ""
        yield f"{_UNKNOWN} marks what is not counted yet; calling this again goes on with small files."


def _count(listed: Listed, count: int | None) -> str:
    if count is None:
        return _UNREADABLE if listed.problem else _UNKNOWN
    return f"{count:,}"


def _project(listed: Listed) -> str:
    return os.path.basename(os.path.normpath(listed.folder)) if listed.folder else ""


def _path(listed: Listed, folder: Path) -> str:
    """The path as short as it can be said, on one line and printable."""
    path = listed.path
    for base, instead in ((str(folder), ""), (os.path.expanduser("~"), "~/")):
        if path.startswith(base + os.sep):
            path = instead + path[len(base) + 1 :]
            break
    return one_line(text_of(path)) + (f" ({one_line(listed.branch)})" if listed.branch else "")
