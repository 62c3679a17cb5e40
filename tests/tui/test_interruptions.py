"""What the user does while something else is under way."""

import asyncio
from collections.abc import Callable

import pytest
from textual.widgets import Input

from memscope.scoring.matrix import CellState
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.training import TrainingScreen
from tests.tui.driving import cursor, drawn_through, picture, press, running, strike, the_app, until
from tests.tui.fake import conversation, fake_session, score_now

pytestmark = pytest.mark.anyio


async def test_stopping_twice_leaves_everything_ready_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    session = fake_session(conversation(4, 6), open_gate=False)
    async with running(session) as pilot:
        app = the_app(pilot)

        async def slow_count() -> None:
            await asyncio.sleep(0.05)

        await strike(pilot, "r")
        await until(pilot, lambda: session.matrix.count(CellState.RUNNING) > 0)
        monkeypatch.setattr(app.opened.work, "_count", slow_count)
        await strike(pilot, "x", "x")
        await until(pilot, lambda: not app.opened.work.busy)
        assert not app.opened.work.scoring
        assert app.screen.check_action("score", ())


async def test_another_metric_leaves_the_cursor_where_it_waits() -> None:
    async with running(score_now(fake_session(conversation(4, 6)))) as pilot:
        before = cursor(pilot)
        await press(pilot, "m", "m")
        assert cursor(pilot) == before


@pytest.mark.parametrize("place", ["~nobody-of-that-name/matrix.json", "x" * 300 + ".json"])
async def test_a_place_that_can_not_be_is_said_in_the_prompt(place: str) -> None:
    async with running(score_now(fake_session(conversation(4, 6)))) as pilot:
        await press(pilot, "e")
        pilot.app.screen.query_one(Input).value = place
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ExportScreen)
        assert "No such place" in picture(pilot)


async def test_an_export_that_fails_after_its_prompt_was_closed_is_still_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        app = the_app(pilot)
        endings: list[Callable[[str | None], None]] = []
        monkeypatch.setattr(app.opened.work, "write", lambda job, then: endings.append(then))
        await press(pilot, "e", "enter", "escape")
        assert isinstance(pilot.app.screen, MatrixScreen)
        endings[0]("the disk is full")
        assert "the disk is full" in [each.title for each in session.activities.snapshot()]


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_screen_may_be_left_while_it_is_composed(turns: int) -> None:
    async with running(fake_session(conversation(4, 6))) as pilot:
        screen = TrainingScreen(the_app(pilot).opened)
        pilot.app.push_screen(screen)
        for _ in range(turns):
            await asyncio.sleep(0)
        pilot.app.pop_screen()
        await drawn_through(pilot)
        assert isinstance(pilot.app.screen, MatrixScreen)
        assert not screen.is_composed


@pytest.mark.parametrize("turns", [0, 1, 10])
@pytest.mark.parametrize("closed", [False, True])
async def test_the_program_may_be_left_while_a_screen_is_composed(turns: int, closed: bool) -> None:
    async with running(fake_session(conversation(4, 6))) as pilot:
        pilot.app.push_screen(TrainingScreen(the_app(pilot).opened))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not closed:  # else the terminal is gone, and nobody said so
            pilot.app.exit()
