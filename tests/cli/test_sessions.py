"""`memscope sessions`: every session on this machine as a table or as JSON."""

import os
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, assert_sentence, document
from tests.conversation.library.conftest import Machine, chat, lines, long_talk, machine, talk
from tests.scorers_fake import HashScorer

__all__ = ["machine"]

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m[/red]\u202e"


def rows(text: str) -> list[list[str]]:
    """The table's cells."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def now(path: Path, seconds: float) -> None:
    """Let a file have changed so many seconds ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_those_of_the_current_directory_stand_on_top(run: Run, machine: Machine) -> None:
    now(machine.claude("a.jsonl", talk("Fix the test", "Done")), 5)
    now(lines(machine.here / "log.jsonl", chat("Plan a trip", "Where to?")), 7300)
    outcome = run("sessions")
    where = "~/.claude/projects/-work/a.jsonl"
    assert outcome.status == 0
    assert rows(outcome.out) == [
        ["title", "agent", "project", "age", "entries", "memories", "responses", "format", "path"],
        ["In this folder"],
        ["Plan a trip", "here", "2 h ago", "2", "0", "1", "native", "log.jsonl"],
        ["Elsewhere"],
        ["Fix the test", "Claude Code", "app", "just now", "2", "0", "1", "claude-code", where],
    ]
    assert "✓ looking for sessions (complete)" in outcome.err


def test_json_has_every_field_and_null_for_what_is_not_known(run: Run, machine: Machine) -> None:
    path = lines(machine.here / "log.jsonl", chat("Plan a trip", "Where to?"))
    found = document(run("sessions", "--json"))
    assert found == {
        "schema": "memscope.sessions/1",
        "sessions": [
            {
                "path": str(path),
                "branch": None,
                "format": "native",
                "agent": None,
                "title": "Plan a trip",
                "folder": str(machine.here),
                "author": None,
                "modified": "2027-01-15T08:00:00Z",
                "size": path.stat().st_size,
                "entries": 2,
                "memories": 0,
                "responses": 1,
                "problem": None,
                "subagent": False,
                "here": True,
                "run": None,
            }
        ],
        "notes": [],
    }


def test_json_is_newest_first_wherever_they_are(run: Run, machine: Machine) -> None:
    lines(machine.here / "log.jsonl", chat("Old", "Hello"), age=9)
    machine.claude("a.jsonl", talk("New", "Hello"), age=1)
    assert [each["title"] for each in document(run("sessions", "--json"))["sessions"]] == ["New", "Old"]


def test_small_sessions_are_counted_and_large_ones_are_not(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = long_talk("Hi")
    machine.claude("a.jsonl", records)
    monkeypatch.setattr("memscope.sessions_command._COUNTED_SIZE", 300_000)
    assert document(run("sessions", "--json"))["sessions"][0]["entries"] is None
    assert rows(run("sessions").out)[2][4:7] == ["?", "?", "?"]
    monkeypatch.setattr("memscope.sessions_command._COUNTED_SIZE", 4_000_000)
    assert document(run("sessions", "--json"))["sessions"][0]["entries"] == len(records)


def test_counting_ends_after_its_time(run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.claude("a.jsonl", long_talk("Hi"))
    monkeypatch.setattr("memscope.sessions_command._COUNTED_SECONDS", -1.0)
    outcome = run("sessions")
    assert "? marks what is not counted yet" in outcome.out


def test_the_newest_scoring_is_shown(run: Run, machine: Machine, scorer: HashScorer) -> None:
    memory = {"role": "system", "content": "Lives in Oslo.", "memory_key": "home/city"}
    path = lines(machine.here / "log.jsonl", [memory, *chat("Where do I live?", "In Oslo.")])
    assert "strongest memory" not in run("sessions").out
    matrix = document(run("score", path, "--json", "-"))
    (session,) = document(run("sessions", "--json"))["sessions"]
    weight = matrix["memories"][0]["weight"]
    assert session["run"].pop("began") > "2026"
    assert session["run"] == {"metric": "signed", "strongest": "home/city", "weight": weight}
    header, _, row = rows(run("sessions").out)
    assert header[-4:-2] == ["scored", "strongest memory"]
    assert row[-4:-2] == ["just now", f"{weight:.2f} home/city"]


def test_subagents_are_told_and_shown_if_asked_for(run: Run, machine: Machine) -> None:
    machine.claude("a.jsonl", talk("Hi", "Hello"))
    machine.claude("a/subagents/agent-b.jsonl", talk("Look around", "Done"))
    outcome = run("sessions")
    assert "Look around" not in outcome.out
    assert "1 session of a subagent is not shown; --subagents shows them all." in outcome.out
    assert "Look around" in run("sessions", "--subagents").out
    assert [each["subagent"] for each in document(run("sessions", "--json"))["sessions"]] == [False, True]


def test_what_can_not_be_read_says_why(run: Run, machine: Machine) -> None:
    machine.claude("a.jsonl", [])
    (_, _, row) = rows(run("sessions").out)
    assert row[0].startswith("! a.jsonl is empty")
    assert row[-4:-1] == ["-", "-", "-"]


def test_a_clock_that_was_wrong_gives_no_negative_age(run: Run, machine: Machine) -> None:
    now(machine.claude("a.jsonl", talk("Hi", "Hello")), -1e6)
    assert rows(run("sessions").out)[2][3] == "in the future"


def test_nothing_that_a_session_says_reaches_the_terminal(run: Run, machine: Machine) -> None:
    machine.claude(f"a{NASTY}\n.jsonl", talk(f"Hi{NASTY}", "Hello", cwd=f"/work/{NASTY}\n"))
    path = lines(machine.here / "x.jsonl", chat("Hi", "Hello"))
    os.rename(path, os.fsencode(path) + b"\xff.jsonl")
    outcome = run("sessions")
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) == 5
    assert not set(outcome.out.replace("\n", "")) & set(NASTY[0] + "\x07\x9b\u202e")
    assert len(document(run("sessions", "--json"))["sessions"]) == 2


def test_no_session_is_said_in_a_sentence(run: Run, machine: Machine) -> None:
    outcome = run("sessions")
    assert (outcome.status, outcome.out) == (0, "")
    assert "No session was found; `session_folders` in the settings says where else to look." in outcome.err


def test_settings_that_can_not_be_read_are_a_sentence(run: Run, machine: Machine, tmp_path: Path) -> None:
    configuration = tmp_path / "config" / "memscope" / "config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("session_folders = 7\n")
    assert_sentence(run("sessions"), 2, "`session_folders` must be a list of folders")


def test_the_help_says_that_it_is_read_only_and_local(run: Run) -> None:
    assert "Read-only and local" in run("sessions", "--help").out
