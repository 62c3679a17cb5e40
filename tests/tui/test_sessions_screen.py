"""The session browser over real files in a home of its own."""

import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from memscope.conversation.follow import Follower
from memscope.demo import demo_path
from memscope.errors import InputError
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.screens.branches import BranchesScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.sessions import SessionsScreen
from memscope.tui.widgets.session_list import SessionList
from tests.scorers_fake import HashScorer, opening
from tests.tui.driving import picture, settled, strike, the_app, until
from tests.tui.test_commands import assert_every_binding_is_listed, choose, look_up, named

pytestmark = pytest.mark.anyio


def node(id_: str, parent: str | None, role: str, text: str) -> dict[str, object]:
    return {
        "uuid": id_,
        "parentUuid": parent,
        "sessionId": "s",
        "type": role,
        "cwd": "/elsewhere/boats",
        "message": {"role": role, "content": text},
    }


def write(path: Path, records: Sequence[dict[str, object]], age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a session of Claude Code that forks, and a log in the current directory."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "HERMES_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    home, here = tmp_path / "home", tmp_path / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("memscope.scoring.session.open_scorer", opening(HashScorer()))
    write(
        home / ".claude" / "projects" / "p" / "a.jsonl",
        [
            node("1", None, "user", "Build me a boat"),
            node("2", "1", "assistant", "Of oak, as my [b]shipwright[/b] said."),
            node("3", "1", "assistant", "Of pine."),
        ],
        age=10,
    )
    write(
        here / "log.jsonl",
        [
            {"role": "system", "content": "Nora lives in Bergen.", "memory_key": "home"},
            {"role": "user", "content": "Plan a trip"},
            {"role": "assistant", "content": "From Bergen."},
        ],
        age=9999,
    )
    return home


def opener(path: str, branch: str | None) -> tuple[Session, Follower]:
    follower = Follower(path, branch)
    return Session(follower.open()), follower


@asynccontextmanager
async def browsing(*, size: tuple[int, int] = (130, 36)) -> AsyncIterator[Pilot[None]]:
    app = MemscopeApp(opener=opener)
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "2 of 2 sessions" in picture(pilot))
        yield pilot
        app.close()


def titles(pilot: Pilot[None]) -> list[str]:
    return [row.listed.title for row in pilot.app.screen.query_one(SessionList)._view.shown]


async def test_sessions_of_this_directory_stand_on_top_whatever_their_age() -> None:
    async with browsing() as pilot:
        assert titles(pilot) == ["Plan a trip", "Build me a boat"]
        text = picture(pilot)
        assert "read-only and local" in text
        await until(pilot, lambda: "2 h ago" in picture(pilot))
        assert ["●" in line for line in text.splitlines() if "Build me" in line] == [True]


async def test_the_session_under_the_cursor_is_previewed_as_plain_text() -> None:
    async with browsing() as pilot:
        await until(pilot, lambda: "memory home" in picture(pilot))
        await strike(pilot, "j")
        await until(pilot, lambda: "Of pine." in picture(pilot))


async def test_typing_searches_titles_at_once_and_texts_after_a_while() -> None:
    async with browsing() as pilot:
        await strike(pilot, "slash", *"boat")
        assert titles(pilot) == ["Build me a boat"]
        pilot.app.screen.query_one(Input).value = "shipwright"
        await until(pilot, lambda: titles(pilot) == ["Build me a boat"])
        await strike(pilot, "escape")
        assert titles(pilot) == ["Plan a trip", "Build me a boat"]


async def test_agents_projects_and_orders_are_chosen_with_a_key() -> None:
    async with browsing() as pilot:
        await strike(pilot, "a")
        assert titles(pilot) == ["Build me a boat"]
        await strike(pilot, "a", "p")
        assert titles(pilot) == ["Plan a trip"]
        await strike(pilot, "p", "s")
        assert "by title" in picture(pilot)


async def test_enter_opens_and_1_goes_back_to_the_list() -> None:
    async with browsing() as pilot:
        await strike(pilot, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MatrixScreen))
        await until(pilot, lambda: "1 memories x 1 responses" in picture(pilot))
        await strike(pilot, "1")
        assert isinstance(pilot.app.screen, SessionsScreen)
        await strike(pilot, "escape")
        assert isinstance(pilot.app.screen, MatrixScreen)


async def test_another_session_takes_the_place_of_the_open_one() -> None:
    async with browsing() as pilot:
        await strike(pilot, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MatrixScreen))
        first = the_app(pilot).opened
        await strike(pilot, "1", "j", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MatrixScreen))
        await until(pilot, lambda: the_app(pilot).opened is not first)
        assert the_app(pilot).opened.session.conversation.source.format == "claude-code"
        assert len([screen for screen in pilot.app.screen_stack if isinstance(screen, MatrixScreen)]) == 1


async def test_b_offers_the_branches_of_a_conversation_that_forks() -> None:
    async with browsing() as pilot:
        await strike(pilot, "j", "b")
        await until(pilot, lambda: isinstance(pilot.app.screen, BranchesScreen))
        await strike(pilot, "up", "enter")
        await until(pilot, lambda: the_app(pilot).is_open)
        assert the_app(pilot).opened.session.conversation.entries[-1].text.startswith("Of oak")


async def test_1_does_nothing_while_a_prompt_stands_over_the_list() -> None:
    async with browsing() as pilot:
        await strike(pilot, "question_mark", "1")
        assert [type(screen) for screen in pilot.app.screen_stack] == [SessionsScreen, HelpScreen]
        assert not the_app(pilot).check_action("mode", ("sessions",))


def test_settings_that_can_not_be_read_are_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "memscope").mkdir()
    (tmp_path / "memscope" / "config.toml").write_text("session_folders = 5")
    with pytest.raises(InputError, match="`session_folders` must be a list"):
        MemscopeApp(opener=opener)


async def test_what_can_not_be_opened_is_said_in_place(home: Path) -> None:
    async with browsing() as pilot:
        (home / ".claude" / "projects" / "p" / "a.jsonl").unlink()
        await strike(pilot, "j", "enter")
        await until(pilot, lambda: "No such file" in picture(pilot))
        assert isinstance(pilot.app.screen, SessionsScreen)


async def test_r_finds_what_has_come_and_lets_go_of_what_is_gone(home: Path) -> None:
    async with browsing() as pilot:
        (home / ".claude" / "projects" / "p" / "a.jsonl").unlink()
        write(Path("new.jsonl"), [{"role": "user", "content": "Something new"}], age=0)
        await strike(pilot, "r")
        await until(pilot, lambda: titles(pilot) == ["Something new", "Plan a trip"])


async def test_where_there_is_nothing_it_says_what_to_do(home: Path) -> None:
    (home / ".claude" / "projects" / "p" / "a.jsonl").unlink()
    Path("log.jsonl").unlink()
    app = MemscopeApp(opener=opener)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "No session was found" in picture(pilot))
        assert "SessionLog" in picture(pilot)
        app.close()


async def test_a_narrow_terminal_has_no_preview() -> None:
    async with browsing(size=(60, 14)) as pilot:
        assert "Plan a trip" in picture(pilot)
        assert not pilot.app.screen.query_one("#preview").display
        await strike(pilot, "question_mark")
        assert "─ Help ─" in picture(pilot)


async def test_the_palette_names_agents_projects_and_sessions_and_nothing_of_a_session() -> None:
    async with browsing() as pilot:
        await assert_every_binding_is_listed(pilot)
        assert "Metric" not in named(await look_up(pilot, ""))
        await strike(pilot, "escape")
        await choose(pilot, "only claude code")
        assert titles(pilot) == ["Build me a boat"]
        await choose(pilot, "all agents")
        await choose(pilot, "sessions by title")
        assert titles(pilot) == ["Plan a trip", "Build me a boat"]
        await look_up(pilot, "open build me")
        await strike(pilot, "enter")  # what follows a file never ends
        await until(pilot, lambda: isinstance(pilot.app.screen, MatrixScreen))
        assert the_app(pilot).opened.session.conversation.source.path.endswith("a.jsonl")


async def test_the_help_of_the_list_tells_of_the_list() -> None:
    async with browsing(size=(130, 70)) as pilot:
        await strike(pilot, "question_mark")
        drawn = picture(pilot)
        assert "changed within the last minute" in drawn
        assert "Let go of the failures" not in drawn
        assert "Score what is missing" not in drawn
        assert "(d)" in drawn


async def test_where_no_session_is_found_the_demo_is_one_key_away(home: Path) -> None:
    for path in (home / ".claude" / "projects" / "p" / "a.jsonl", Path("log.jsonl")):
        path.unlink()
    app = MemscopeApp(opener=opener)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "No session was found" in picture(pilot))
        await until(pilot, lambda: "d Demo" in picture(pilot))
        assert "s Sort" not in picture(pilot)
        await strike(pilot, "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, MatrixScreen))
        assert app.opened.session.conversation.source.path == str(demo_path())
        app.close()
