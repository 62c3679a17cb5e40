"""The footer and the help: only what works, whole, the most important first."""

import pytest
from textual.pilot import Pilot

from memscope.tui.screens.help import HelpScreen
from memscope.tui.widgets.key_bar import KeyBar
from tests.tui.driving import drawn_through, picture, press, running, strike, until
from tests.tui.fake import conversation, fake_session, score_now

pytestmark = pytest.mark.anyio


def keys(pilot: Pilot[None]) -> str:
    """What the footer says, without the spaces in between."""
    return " ".join(str(pilot.app.screen.query_one(KeyBar).render()).split())


async def test_what_is_most_important_stands_first_and_help_last() -> None:
    session = fake_session(open_gate=False)
    async with running(session) as pilot:
        assert keys(pilot).startswith("r Score ⏎ Open")
        assert keys(pilot).endswith("? Help ^p Commands")
        await strike(pilot, "r")
        assert keys(pilot).startswith("x Stop ⏎ Open")
        await strike(pilot, "x")


@pytest.mark.parametrize("width", [300, 120, 80, 60, 40, 21, 12, 7, 1])
async def test_a_key_is_shown_whole_or_not_at_all(width: int) -> None:
    async with running(score_now(fake_session()), size=(width, 14)) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        drawn = bar.render()
        assert drawn.cell_length <= max(0, width - 2) or not drawn.plain.strip()
        names = {"Open", "Sort", "Find", "Zoom", "Strongest", "Rescore", "Metric", "Copy", "Export", "Quit"}
        names |= {"Matrix", "Training", "Sessions", "Help", "Commands", "Transcript", "Runs"}
        shown = keys(pilot).split()
        assert set(shown[1::2]) <= names
        assert all(len(key) <= 5 for key in shown[::2])


async def test_a_click_presses_the_key() -> None:
    async with running(score_now(fake_session())) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        at = str(bar.render()).index("? Help")
        await pilot.click(KeyBar, offset=(at + 3, 0))
        await drawn_through(pilot)
        assert isinstance(pilot.app.screen, HelpScreen)


async def test_the_mouse_on_a_key_tells_in_full_what_it_does() -> None:
    async with running(score_now(fake_session())) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        await pilot.hover(KeyBar, offset=(str(bar.render()).index("Metric") + 1, 0))
        assert str(bar.tooltip) == "Signed, clamped, token-clamped"
        await pilot.hover(KeyBar, offset=(str(bar.render()).index("? Help") - 1, 0))
        assert bar.tooltip is None


async def test_help_groups_keys_by_subject_and_brackets_what_does_not_work_now() -> None:
    async with running(score_now(fake_session(conversation(4, 6))), size=(140, 90)) as pilot:
        await press(pilot, "question_mark")
        lines = [line.strip("│ ") for line in picture(pilot).splitlines()]
        drawn = "\n".join(lines)
        for subject in ("Moving", "Matrix", "The session", "Screens", "Everywhere"):
            assert subject in drawn
        assert "(x)" in drawn
        assert "(r)" in drawn
        assert "R " in drawn
        assert "In brackets: not now." in drawn


async def test_the_help_of_a_response_explains_words_not_cells() -> None:
    async with running(score_now(fake_session(conversation(4, 6))), size=(140, 90)) as pilot:
        await press(pilot, "enter", "question_mark")
        await until(pilot, lambda: "(orange)" in picture(pilot))
        drawn = picture(pilot)
        assert "Weight of a memory" not in drawn
        assert "Choose the memory that colours the text" in drawn
        assert "Order rows otherwise" not in drawn


@pytest.mark.parametrize("size", [(300, 80), (60, 14), (20, 6), (1, 1)])
async def test_the_help_can_be_drawn_at_every_size(size: tuple[int, int]) -> None:
    async with running(score_now(fake_session()), size=size) as pilot:
        await press(pilot, "question_mark")
        picture(pilot)
        await pilot.resize_terminal(90, 30)
        await press(pilot, "escape")
