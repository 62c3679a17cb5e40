"""Running commands in this process, each with settings, cache and scorer of its own."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina

from memscope import cli
from memscope.ledger import Ledger
from memscope.scoring import session as session_module
from tests.scorers_fake import TALK, HashScorer, opening

Run = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEMSCOPE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> HashScorer:
    """What scores in place of the embedded model."""
    fake = HashScorer()
    monkeypatch.setattr(session_module, "open_scorer", opening(fake))
    return fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def main(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["memscope", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end, stamina.set_testing(True, attempts=2, cap=True):
            cli.main()
        captured = capfd.readouterr()
        status = end.value.code or 0
        assert isinstance(status, int)
        return Outcome(status, captured.out, captured.err)

    return main


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A native log of two memories and three responses."""
    return log(tmp_path / "talk.jsonl", TALK)


def log(path: Path, messages: Sequence[tuple[str, str]]) -> Path:
    """A native log; a role that is none of a chat's is a memory's key."""
    lines = [
        {"role": who, "content": text}
        if who in ("system", "user", "assistant", "tool")
        else {"role": "system", "content": text, "memory_key": who}
        for who, text in messages
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def assert_sentence(outcome: Outcome, status: int, *parts: str) -> None:
    """One sentence on standard error with these parts in it, and nothing else anywhere."""
    assert outcome.status == status, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("memscope: ")
    assert line.endswith(".")
    for part in parts:
        assert part in line


def document(outcome: Outcome) -> dict[str, Any]:
    """The JSON on standard output, read strictly."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    found: dict[str, Any] = json.loads(outcome.out, parse_constant=refuse)
    return found


def record(tmp_path: Path, key: str, value: float, days: float, model: str = "hash") -> None:
    """Enter a score of some days ago in the ledger."""
    ledger = Ledger(tmp_path / "cache" / "scores.sqlite")
    ledger.record(key, model, value, datetime.now(UTC) - timedelta(days=days), "earlier.jsonl")
    ledger.close()
