"""Copies, pictures and notifications."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from textual.widgets import Input

from memscope.errors import InputError
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.screens.base import SessionScreen
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from tests.scorers_fake import TALK, HashScorer
from tests.scorers_fake import conversation as talk
from tests.tui.driving import (
    drawn_through,
    heatmap,
    picture,
    press,
    running,
    settled,
    strike,
    the_app,
    until,
)
from tests.tui.fake import conversation, fake_session, score_now
from tests.tui.test_untrusted import NASTY, assert_safe, nasty_session

pytestmark = pytest.mark.anyio


async def test_y_copies_the_cell_its_response_and_its_memory(told: list[str]) -> None:
    session = score_now(fake_session())
    async with running(session) as pilot:
        heatmap(pilot).move_to(1, 2)
        await press(pilot, "y")
        cell, response, memory = pilot.app.clipboard.rstrip("\n").split("\n\n")
        assert cell.startswith("topic1/memory-01 x r3: ")
        assert response == session.conversation.entries[session.matrix.responses[2]].said
        assert memory == session.conversation.memory_text(session.conversation.memories[1])
        assert told == [
            f"Copied the cell with its response and memory: {len(pilot.app.clipboard)} characters"
        ]


async def test_what_is_copied_is_what_a_terminal_may_paste(told: list[str]) -> None:
    async with running(nasty_session()) as pilot:
        await press(pilot, "y")
        assert_safe(pilot.app.clipboard)
        assert "␛[31mred" in pilot.app.clipboard
        assert_safe(told[0])


async def test_of_a_long_text_the_beginning_is_copied_and_that_is_said(told: list[str]) -> None:
    async with running(score_now(fake_session(conversation(said="x" * 150_000)))) as pilot:
        await press(pilot, "y")
        assert len(pilot.app.clipboard) == 100_000
        assert "the first 100,000 of 150," in told[0]


async def test_without_cells_there_is_nothing_to_copy(told: list[str]) -> None:
    async with running(fake_session(conversation(0, 2))) as pilot:
        await press(pilot, "y")
        assert (pilot.app.clipboard, told) == ("", [])


async def test_an_ending_svg_draws_the_screen_without_the_prompt(tmp_path: Path, told: list[str]) -> None:
    async with running(score_now(fake_session())) as pilot:
        await press(pilot, "e")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "screen.svg")
        await press(pilot, "enter")
        await until(pilot, lambda: bool(told))
        assert told == [f"Wrote {tmp_path / 'screen.svg'}"]
        drawing = (tmp_path / "screen.svg").read_text("utf-8")
        assert "memories" in drawing
        assert "Export" in drawing  # the footer's
        assert "Enter" not in drawing
        assert "url(" not in drawing.replace("url(#", "")


async def test_a_picture_that_can_not_be_written_is_said(tmp_path: Path, told: list[str]) -> None:
    async with running(score_now(fake_session())) as pilot:
        await press(pilot, "e")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "none" / "screen.svg")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ExportScreen)
        assert "there is no folder" in picture(pilot)
        the_app(pilot).save_picture(tmp_path / "none" / "screen.svg")
        await until(pilot, lambda: bool(told))
        assert "can't be written" in told[0]


async def test_scoring_that_ends_in_sight_is_not_notified(told: list[str]) -> None:
    async with running(fake_session()) as pilot:
        await press(pilot, "r")
        assert told == []


async def test_scoring_that_ends_behind_another_screen_is(told: list[str]) -> None:
    session = fake_session(conversation(title=NASTY), open_gate=False)
    async with running(session) as pilot:
        await strike(pilot, "r", "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        session.gate.set()
        await until(pilot, lambda: bool(told))
        assert told[0].endswith(": all cells scored")
        assert_safe(told[0])


async def test_scoring_that_ends_in_another_window_is_and_rings_if_wanted(
    told: list[str], no_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[bool] = []
    monkeypatch.setattr(MemscopeApp, "bell", lambda self: rung.append(True))
    (no_settings / "config.toml").write_text("bell = true")
    session = fake_session(open_gate=False)
    session.failing = {1: "no"}
    async with running(session) as pilot:
        await strike(pilot, "r")
        pilot.app.app_focus = False
        session.gate.set()
        await until(pilot, lambda: bool(told))
        assert told[0].startswith("trip-planner: scored, but ")
        assert told[0].endswith(" cells failed")
        assert rung == [True]


async def test_scoring_that_was_stopped_is_not_notified(told: list[str]) -> None:
    session = fake_session(open_gate=False)
    async with running(session) as pilot:
        await strike(pilot, "r")
        pilot.app.app_focus = False
        await strike(pilot, "x")
        await until(pilot, lambda: not the_app(pilot).opened.busy)
        assert told == []


async def test_a_failure_behind_another_screen_is_notified(told: list[str]) -> None:
    session = fake_session()
    session.problem = NASTY
    session.model.clear()
    app = MemscopeApp(session.as_session)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.opened.work.begun)
        await strike(pilot, "question_mark")
        session.model.set()
        await until(pilot, lambda: bool(told))
        assert "[/red]" in told[0]
        assert_safe(told[0])


async def test_the_same_thing_is_never_told_twice_at_once() -> None:
    app = MemscopeApp(score_now(fake_session()).as_session)
    async with app.run_test(notifications=True) as pilot:
        await drawn_through(pilot)
        for number in range(5):
            app.tell("copied", f"number {number}")
            await drawn_through(pilot)
        assert [each.message for each in app._notifications] == ["number 4"]


def test_a_bell_is_rung_or_not(no_settings: Path) -> None:
    (no_settings / "config.toml").write_text('bell = "loud"')
    with pytest.raises(InputError, match="`bell` must be true or false"):
        MemscopeApp(fake_session().as_session)


@pytest.mark.parametrize("size", [(300, 80), (60, 14)])
async def test_the_window_may_change_its_size_while_cells_are_scored(size: tuple[int, int]) -> None:
    session = fake_session(conversation(30, 30), open_gate=False)
    session.pace = 0.001
    async with running(session) as pilot:
        await strike(pilot, "r")
        session.gate.set()
        for width, height in (size, (61, 15), (120, 36), size):
            await pilot.resize_terminal(width, height)
            await drawn_through(pilot)
            assert "[]" in picture(pilot)
        await strike(pilot, "x")


async def test_y_in_the_transcript_copies_what_is_under_the_cursor(told: list[str]) -> None:
    async with running(score_now(fake_session(conversation(4, 6)))) as pilot:
        await press(pilot, "3", "g", "y")
        first = the_app(pilot).opened.session.conversation.entries[0].text
        assert pilot.app.clipboard == first
        strongest = int(np.nanargmax(the_app(pilot).opened.view.dependence))
        await press(pilot, *["n"] * (strongest + 1), "down", "y")
        assert " nats, " in pilot.app.clipboard


async def test_y_on_training_copies_the_example_that_would_be_written(scorer: HashScorer) -> None:
    session = Session(talk(*TALK))
    async with running(session) as pilot:
        await press(pilot, "4", "r", "y")
        copied = pilot.app.clipboard.splitlines()
        assert len(copied) == 1
        assert json.loads(copied[0])["messages"][-1]["role"] == "assistant"
    session.close()


async def test_what_is_copied_is_made_beside_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def example(conversation: object, entries: object) -> bytes:
        threads.append(threading.current_thread())
        return b"the line"

    async with running(score_now(fake_session())) as pilot:
        await press(pilot, "4")
        monkeypatch.setattr("memscope.training.to_examples", example)
        await press(pilot, "y")
        assert pilot.app.clipboard == "the line"
        assert threading.main_thread() not in threads


async def test_y_on_runs_copies_all_that_is_known_of_one(scorer: HashScorer) -> None:
    session = Session(talk(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: pilot.app.screen.check_action("copy", ()) is True)
        await press(pilot, "y")
        assert "tokens computed" in pilot.app.clipboard
    session.close()


async def test_the_palette_names_every_order_and_filter_of_training(scorer: HashScorer) -> None:
    session = Session(talk(*TALK))
    async with running(session) as pilot:
        await press(pilot, "4", "r")
        screen = pilot.app.screen
        assert isinstance(screen, SessionScreen)
        done = {title: do for title, _, do in screen.choices()}
        done["Sort in order"]()
        done["Show responses: above 10 nats"]()
        await settled(pilot)
        assert "in order" in picture(pilot)
        assert {"Show responses: all", "Show responses: above noise"} < done.keys()
    session.close()


@pytest.mark.parametrize("key", ["2", "3", "4", "5"])
async def test_every_screen_says_how_to_read_it(key: str) -> None:
    async with running(score_now(fake_session(conversation(4, 6)))) as pilot:
        await press(pilot, "2", key)
        screen = pilot.app.screen
        assert isinstance(screen, SessionScreen)
        assert screen.HELP_TEXT
