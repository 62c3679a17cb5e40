"""A home folder of one's own, with the sessions that a test puts there."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from memscope.conversation.library import Library, Listed, places
from memscope.conversation.library import library as module
from memscope.conversation.library.heads import Ends, read_ends
from memscope.conversation.rules import load_rules

Record = dict[str, Any]
NOW = 1_800_000_000


class Machine:
    """A machine: its home folder, the current directory and memscope's cache."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.here = root / "work" / "here"
        self.index = root / "cache" / "scores.sqlite"
        for folder in (self.home, self.here):
            folder.mkdir(parents=True)

    def library(self) -> Library:
        """As a program that has just been started has it."""
        return Library(self.index, places(self.here), self.here, load_rules())

    def scan(self) -> list[Listed]:
        """All that is listed."""
        library = self.library()
        try:
            return [listed for batch in library.scan(threading.Event()) for listed in batch]
        finally:
            library.close()

    def listed(self) -> Listed:
        """The only one that is listed."""
        (listed,) = self.scan()
        return listed

    def claude(self, name: str, records: list[Record], *, age: float = 0) -> Path:
        """A file in Claude Code's place, changed `age` seconds before NOW."""
        return lines(self.home / ".claude" / "projects" / "-work" / name, records, age=age)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without any session."""
    for name in (
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "HERMES_HOME",
        "OPENCLAW_STATE_DIR",
        "PI_CODING_AGENT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    made = Machine(tmp_path)
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(made.here)
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the session files that are opened from now on."""
    paths: list[str] = []

    def watched(path: str) -> Ends:
        paths.append(path)
        return read_ends(path)

    monkeypatch.setattr(module, "read_ends", watched)
    return paths


def lines(path: Path, records: list[Record], *, age: float = 0) -> Path:
    """A file with a record on each line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    os.utime(path, (NOW - age, NOW - age))
    return path


def turn(number: int, role: str, text: str, cwd: str = "/work/app") -> Record:
    """A message in Claude Code's tree."""
    return {
        "parentUuid": f"u{number - 1}" if number else None,
        "cwd": cwd,
        "sessionId": "s",
        "type": role,
        "message": {"role": role, "id": f"m{number}", "model": "claude-x", "content": text},
        "uuid": f"u{number}",
    }


def talk(*texts: str, cwd: str = "/work/app") -> list[Record]:
    """A session of Claude Code's: what the user and the agent say in turn."""
    return [turn(at, ("user", "assistant")[at % 2], text, cwd) for at, text in enumerate(texts)]


def long_talk(first: str, last: str = "Bye", *, size: int = 400_000) -> list[Record]:
    """One that is too long to be read whole for the list."""
    middle = ["x" * 1000] * (size // 1000 // 2 * 2)
    return talk(first, *middle, last)


def chat(*texts: str) -> list[Record]:
    """A native log."""
    return [
        {"role": ("user", "assistant")[at % 2], "content": text, "timestamp": "2026-01-01T00:00:00Z"}
        for at, text in enumerate(texts)
    ]
