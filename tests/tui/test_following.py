"""The screen follows the file: real file, real session, a scorer without a model."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from memscope.conversation.follow import Follower
from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.widgets.line import Line
from tests.scorers_fake import TALK, HashScorer, opening
from tests.tui.driving import cursor, drawn_through, heatmap, picture, strike, the_app, until

pytestmark = pytest.mark.anyio

MORE = (("job", "Nora builds boats."), ("user", "And work?"), ("assistant", "You build boats, Nora."))


def lines(messages: tuple[tuple[str, str], ...]) -> str:
    roles = ("system", "user", "assistant")
    return "".join(
        json.dumps(
            {"role": who, "content": text}
            if who in roles
            else {"role": "system", "content": text, "memory_key": who}
        )
        + "\n"
        for who, text in messages
    )


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("memscope.scoring.session.open_scorer", opening(HashScorer()))
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "log.jsonl"
    path.write_text(lines(TALK))
    return path


@asynccontextmanager
async def following(log: Path, *, auto: bool = False, scored: bool = False) -> AsyncIterator[Pilot[None]]:
    """The app on a followed file, once the model is open; if `scored`, with every cell scored."""
    follower = Follower(str(log))
    session = Session(follower.open())
    app = MemscopeApp(session, follower, auto=auto, score_at_once=scored)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.opened.work.ready and not app.opened.work.busy)
        if scored:
            await until(pilot, lambda: not app.opened.missing)
        yield pilot
        app.opened.close()
    session.close()


def add(log: Path, *messages: tuple[str, str]) -> None:
    with log.open("a") as file:
        file.write(lines(messages))


def shape(pilot: Pilot[None]) -> tuple[int, int]:
    return the_app(pilot).opened.view.matrix.shape


def badge(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one("#follow", Line).text


def grown(pilot: Pilot[None]) -> Callable[[], bool]:
    return lambda: shape(pilot) == (3, 4)


async def test_new_entries_appear_and_the_cursor_stays(log: Path) -> None:
    async with following(log, scored=True) as pilot:
        heatmap(pilot).move_to(1, 2)
        assert badge(pilot) == "FOLLOW"
        add(log, *MORE)
        await until(pilot, grown(pilot))
        assert cursor(pilot) == (1, 2)
        assert "3 memories x 4 responses" in picture(pilot)
        states = the_app(pilot).opened.view.matrix.states
        assert (states[:, 3] == CellState.PENDING).all()
        assert (states[0, :3] == CellState.SCORED).all()


async def test_new_responses_wait_visibly_until_r_scores_them(log: Path) -> None:
    async with following(log, scored=True) as pilot:
        add(log, *MORE)
        await until(pilot, lambda: grown(pilot)() and the_app(pilot).opened.session.is_planned)
        await until(pilot, lambda: "r scores 3 cells" in picture(pilot))
        await strike(pilot, "r")
        await until(pilot, lambda: the_app(pilot).opened.missing == 0)


async def test_r_scores_what_has_just_come_even_before_it_is_planned(log: Path) -> None:
    async with following(log, scored=True) as pilot:
        app = the_app(pilot)
        add(log, *MORE)
        await until(pilot, grown(pilot))
        await app.run_action("screen.score")
        await until(pilot, lambda: app.opened.missing == 0)
        assert not np.isnan(app.opened.view.matrix.baseline).any()


async def test_paused_it_counts_what_waits_and_shows_it_when_following_again(log: Path) -> None:
    async with following(log) as pilot:
        await strike(pilot, "f")
        assert badge(pilot) == "PAUSED"
        add(log, *MORE)
        await until(pilot, lambda: badge(pilot) == "PAUSED +3")
        assert shape(pilot) == (2, 3)
        await strike(pilot, "f")
        assert shape(pilot) == (3, 4)
        assert badge(pilot) == "FOLLOW"


async def test_auto_scores_what_comes_and_nothing_else(log: Path) -> None:
    async with following(log, auto=True) as pilot:
        app = the_app(pilot)
        add(log, *MORE)
        await until(
            pilot, lambda: grown(pilot)() and not app.opened.missing_of_new and not app.opened.work.busy
        )
        states = app.opened.view.matrix.states
        assert (states[:, 3] == CellState.SCORED).all()
        assert (states[0, :3] == CellState.PENDING).all()


async def test_without_auto_nothing_is_scored_by_itself(log: Path) -> None:
    async with following(log) as pilot:
        add(log, *MORE)
        await until(pilot, lambda: grown(pilot)() and the_app(pilot).opened.session.is_planned)
        assert the_app(pilot).opened.view.matrix.count(CellState.SCORED) == 0


async def test_a_deleted_file_is_said_to_be_and_the_screen_stays(log: Path) -> None:
    async with following(log) as pilot:
        log.unlink()
        await until(
            pilot, lambda: "was deleted; what was read of it stays" in " ".join(picture(pilot).split())
        )
        assert shape(pilot) == (2, 3)


async def test_a_response_that_is_looked_at_stays_when_more_comes(log: Path) -> None:
    async with following(log, scored=True) as pilot:
        heatmap(pilot).move_to(0, 1)
        await strike(pilot, "enter")
        await until(pilot, lambda: "token" in pilot.app.screen.query_one("#token", Line).text)
        await strike(pilot, "right", "right")
        token = pilot.app.screen.query_one("#token", Line).text
        add(log, *MORE)
        await until(pilot, grown(pilot))
        await drawn_through(pilot)
        assert "r2 · entry 6" in picture(pilot)
        assert pilot.app.screen.query_one("#token", Line).text == token


async def test_a_file_that_begins_anew_with_less_leaves_the_response_screen(log: Path) -> None:
    async with following(log, scored=True) as pilot:
        heatmap(pilot).move_to(1, 2)
        await strike(pilot, "enter", "question_mark")
        log.write_text(lines(TALK[:4]))
        await until(pilot, lambda: shape(pilot) == (1, 1))
        await until(pilot, lambda: isinstance(pilot.app.screen, MatrixScreen))
        assert cursor(pilot) == (0, 0)


async def test_a_log_that_is_only_begun_opens_the_model_with_its_first_response(log: Path) -> None:
    log.write_text(lines(TALK[:3]))
    follower = Follower(str(log))
    app = MemscopeApp(Session(follower.open()), follower)
    async with app.run_test(size=(120, 36)) as pilot:
        await drawn_through(pilot)
        assert not app.opened.work.begun
        add(log, *TALK[3:])
        await until(pilot, lambda: shape(pilot) == (2, 3) and app.opened.work.ready)
        app.opened.close()


async def test_what_is_missing_is_said_anew_as_a_log_grows(log: Path) -> None:
    log.write_text(lines((("user", "Hello."),)))
    follower = Follower(str(log))
    app = MemscopeApp(Session(follower.open()), follower)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "no memories" in picture(pilot))
        add(log, ("home", "Nora lives in Bergen."))
        await until(pilot, lambda: "no responses yet" in picture(pilot))
        add(log, ("assistant", "Welcome back to Bergen."))
        await until(pilot, lambda: "1 memories x 1 responses" in picture(pilot) and app.opened.work.ready)
        assert heatmap(pilot).has_focus
        app.close()
