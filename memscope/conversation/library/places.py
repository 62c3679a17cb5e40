"""Where agents leave their sessions, and which files there may be some."""

import os
import stat
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Event

from memscope.conversation.library.listed import text_of
from memscope.settings import session_folders

_SKIPPED = frozenset(
    {"node_modules", ".git", ".hg", ".svn", ".venv", "venv", "site-packages", "__pycache__", ".tox", ".nox"}
    | {".mypy_cache", ".ruff_cache", ".pytest_cache", ".cache", "target", "dist", "build"}
)
"""Folders that hold programs' files, not sessions."""
_ANY = ("*.jsonl", "*.json", "*.af")
_DEPTH = 32
DATABASE = ".db"
"""How the name of an SQLite database ends, in which Hermes keeps its sessions."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in which files with the `names` (patterns as a shell's) are looked for, `depth` folders down.

    `agent` is the program whose place it is: every such file should be a session there, and one that can't be
    read is told. Without an agent, what is no conversation is passed over. `subagents` are the names of
    sessions that are part of others. At most `files` files are looked at, for at most `seconds`.
    """

    folder: Path
    agent: str = ""
    names: tuple[str, ...] = _ANY
    subagents: str = ""
    depth: int = _DEPTH
    files: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a session: its path as the operating system has it, and what it says of it."""

    path: str
    status: os.stat_result
    place: Place


def places(folder: Path) -> tuple[Place, ...]:
    """Where to look: the known agents' places, those in the settings, and the current directory `folder`.

    Raises InputError if the settings can't be read.
    """
    codex, hermes = _home("CODEX_HOME", ".codex"), _home("HERMES_HOME", ".hermes")
    claude = _home("CLAUDE_CONFIG_DIR", ".claude") / "projects"
    openclaw = _home("OPENCLAW_STATE_DIR", ".openclaw") / "agents"
    pi = _home("PI_CODING_AGENT_DIR", ".pi/agent") / "sessions"
    return (
        Place(claude, "Claude Code", ("*.jsonl",), subagents="agent-*"),
        Place(codex / "sessions", "Codex", ("rollout-*.jsonl",)),
        Place(codex / "archived_sessions", "Codex", ("rollout-*.jsonl",)),
        Place(_home("", ".gemini") / "tmp", "Gemini CLI", ("session-*.json", "session-*.jsonl"), depth=4),
        Place(openclaw, "OpenClaw", ("*.jsonl",), depth=3),
        Place(pi, "pi", ("*.jsonl",)),
        Place(hermes / "sessions", "Hermes", ("*.json", "*.jsonl"), depth=2),
        Place(hermes, "Hermes", (f"state{DATABASE}",), depth=0),
        *(Place(chosen) for chosen in session_folders()),
        Place(folder, depth=3, files=2_000, seconds=2.0),
    )


def walk(place: Place, walked: set[tuple[int, int]], notes: list[str], stop: Event) -> Iterator[Found]:
    """The files of a place, those further up first; nothing if there is no such place.

    `walked` are the folders (device and number) that were walked before and are not walked again, whatever
    links lead there. `notes` get a sentence on what could not be looked at. Nothing but folders is opened.
    """
    until = None if place.seconds is None else time.monotonic() + place.seconds
    left = place.files
    folders = deque([(str(place.folder), 0)])
    while folders:
        path, depth = folders.popleft()
        try:
            if not _is_new(path, walked):
                continue
            entries = os.scandir(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            if place.agent or depth == 0:
                notes.append(f"The folder {text_of(path)} can't be read: {_reason(error)}.")
            continue
        with entries:
            for entry in entries:
                if stop.is_set():
                    return
                if left == 0 or (until is not None and time.monotonic() > until):
                    where = text_of(str(place.folder))
                    notes.append(f"Only a part of {where} was looked through, for it holds much.")
                    return
                if _is_folder(entry):
                    if depth < place.depth and entry.name not in _SKIPPED:
                        folders.append((entry.path, depth + 1))
                elif (status := _wanted(entry, place)) is not None:
                    left = None if left is None else left - 1
                    yield Found(entry.path, status, place)


def _is_new(path: str, walked: set[tuple[int, int]]) -> bool:
    """Whether a folder was not walked before; from now on it was. Raises OSError."""
    status = os.stat(path)
    known = len(walked)
    walked.add((status.st_dev, status.st_ino))
    return len(walked) > known


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads around
        return False


def _wanted(entry: os.DirEntry[str], place: Place) -> os.stat_result | None:
    """What the system says of an ordinary file with one of a place's names; None for anything else."""
    if not any(fnmatch(entry.name, pattern) for pattern in place.names):
        return None
    try:
        status = entry.stat()
    except OSError:  # it is gone, or a link that leads nowhere
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _home(variable: str, usual: str) -> Path:
    """An agent's folder: where its variable says, else the usual one in the home folder."""
    chosen = os.environ.get(variable, "").strip() if variable else ""
    return Path(os.path.expanduser(chosen or f"~/{usual}"))
