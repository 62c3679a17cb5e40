"""Where sessions are looked for."""

from pathlib import Path

import pytest

from memscope.conversation.library import places
from memscope.errors import InputError
from tests.conversation.library.conftest import Machine, chat, lines, talk

CODEX = [
    {"type": "session_meta", "payload": {"id": "x", "cwd": "/work/app", "model": "gpt"}},
    *(
        {"type": "response_item", "payload": {"type": "message", "role": "user", "content": [{"text": text}]}}
        for text in (
            "# AGENTS.md instructions for /work/app\n\n<INSTRUCTIONS>\nBe kind.\n</INSTRUCTIONS>",
            "<environment_context>\n<cwd>/work/app</cwd>\n</environment_context>",
            "List the files",
        )
    ),
]
GEMINI = [{"sessionId": "g", "projectHash": "0"}, {"id": "1", "type": "user", "content": "Say hello"}]
PI = [
    {"type": "session", "version": 3, "id": "p", "cwd": "/work/app"},
    {"type": "message", "id": "1", "parentId": "p", "message": {"role": "user", "content": "Read it"}},
]


@pytest.mark.parametrize(
    ("path", "records", "agent", "title"),
    [
        (".claude/projects/-work/a.jsonl", talk("Fix it", "Done"), "Claude Code", "Fix it"),
        (".codex/sessions/2026/01/02/rollout-a.jsonl", CODEX, "Codex", "List the files"),
        (".codex/archived_sessions/rollout-a.jsonl", CODEX, "Codex", "List the files"),
        (".gemini/tmp/0/chats/session-a.jsonl", GEMINI, "Gemini CLI", "Say hello"),
        (".openclaw/agents/main/sessions/a.jsonl", PI, "OpenClaw", "Read it"),
        (".pi/agent/sessions/--work--/a.jsonl", PI, "pi", "Read it"),
        (".hermes/sessions/a.json", chat("Sum it up", "So"), "Hermes", "Sum it up"),
    ],
)
def test_an_agents_sessions_are_found_where_it_leaves_them(
    machine: Machine, path: str, records: list[dict[str, object]], agent: str, title: str
) -> None:
    lines(machine.home / path, records)
    listed = machine.listed()
    assert (listed.path, listed.agent, listed.title) == (str(machine.home / path), agent, title)
    assert not listed.problem


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("CLAUDE_CONFIG_DIR", "projects/-work/a.jsonl"),
        ("CODEX_HOME", "sessions/2026/rollout-a.jsonl"),
        ("HERMES_HOME", "sessions/a.json"),
        ("OPENCLAW_STATE_DIR", "agents/main/sessions/a.jsonl"),
        ("PI_CODING_AGENT_DIR", "sessions/--work--/a.jsonl"),
    ],
)
def test_an_agents_variable_moves_its_place(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, path: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "moved"))
    lines(tmp_path / "moved" / path, talk("Hi", "Hello"))
    assert machine.listed().path == str(tmp_path / "moved" / path)


def test_a_machine_without_sessions_has_none(machine: Machine) -> None:
    assert machine.scan() == []


def test_the_current_directory_is_looked_through_but_not_deep(machine: Machine) -> None:
    near = lines(machine.here / "logs" / "near.jsonl", chat("Hi", "Hello"))
    lines(machine.here / "a" / "b" / "c" / "d" / "far.jsonl", chat("Hi", "Hello"))
    assert machine.listed().path == str(near)


@pytest.mark.parametrize("folder", ["node_modules", ".git", ".venv", "__pycache__"])
def test_folders_of_programs_are_passed_over(machine: Machine, folder: str) -> None:
    lines(machine.here / folder / "log.jsonl", chat("Hi", "Hello"))
    assert machine.scan() == []


def test_folders_in_the_settings_are_looked_through_to_the_bottom(machine: Machine, tmp_path: Path) -> None:
    configuration = tmp_path / "config" / "memscope" / "config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text('session_folders = ["~/logs"]\n')
    path = lines(machine.home / "logs" / "a" / "b" / "c" / "d" / "e" / "far.jsonl", chat("Hi", "Hello"))
    assert machine.listed().path == str(path)


@pytest.mark.parametrize("value", ['"~/logs"', "[1]", '[" "]', "7"])
def test_the_setting_must_be_a_list_of_folders(machine: Machine, tmp_path: Path, value: str) -> None:
    configuration = tmp_path / "config" / "memscope" / "config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(f"session_folders = {value}\n")
    with pytest.raises(InputError, match=r"`session_folders` must be a list of folders"):
        places(machine.here)


@pytest.mark.parametrize(
    "content", ['{"name": "app", "version": "1"}', "[]", "[1, 2]", "{}", "", "// no", "7"]
)
def test_other_files_in_the_current_directory_are_not_listed(machine: Machine, content: str) -> None:
    (machine.here / "package.json").write_text(content)
    (machine.here / "log.jsonl").write_text(content)
    assert machine.scan() == []


def test_what_is_no_session_in_an_agents_place_says_why(machine: Machine) -> None:
    path = machine.claude("a.jsonl", [{"name": "app"}])
    listed = machine.listed()
    assert listed.path == str(path)
    assert listed.problem.startswith("a.jsonl: Line 1: the object has neither `role` nor `messages`;")
    assert listed.entries is None


def test_a_subagents_session_is_marked(machine: Machine) -> None:
    machine.claude("a.jsonl", talk("Hi", "Hello"), age=1)
    machine.claude("a/subagents/agent-b.jsonl", talk("Look", "Looked"))
    assert [listed.subagent for listed in machine.scan()] == [True, False]


def test_a_file_that_several_ways_lead_to_is_listed_once(machine: Machine) -> None:
    path = lines(machine.here / "logs" / "log.jsonl", chat("Hi", "Hello"))
    (machine.here / "linked").symlink_to(path.parent)
    (machine.here / "linked.jsonl").symlink_to(path)
    (machine.here / "logs" / "hard.jsonl").hardlink_to(path)
    (machine.here / "logs" / "loop").symlink_to(machine.here)
    assert len(machine.scan()) == 1


def test_a_native_log_is_of_the_folder_that_it_stands_in(machine: Machine) -> None:
    lines(machine.here / "log.jsonl", chat("Hi", "Hello"))
    listed = machine.listed()
    assert listed.folder == str(machine.here)
    assert machine.library().is_here(listed)
