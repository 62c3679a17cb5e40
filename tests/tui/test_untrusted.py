"""Markup, terminal escapes and other nasty text on every surface; and every size that must be usable."""

import unicodedata

import pytest
from textual.widgets import Input

from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.response import ResponseScreen
from memscope.tui.widgets.memory_list import MemoryList
from tests.tui.driving import drawn_through, heatmap, picture, press, running
from tests.tui.fake import FakeSession, conversation, fake_session, score_now

pytestmark = pytest.mark.anyio

NASTY = (
    "[/red][@click=app.quit]go[/] \x1b[31mred\x1b]0;owned\x07 \x9b2J\x9d \u202egnp\u202c\u2066\u200b\ufeff"
    "\ud800\x00\t\r\v\x7f 日本語 👩‍👩‍👧 e\u0301"
)
SIZES = [(120, 36), (80, 24), (60, 14)]


def is_safe(character: str) -> bool:
    """Whether a terminal draws it, and nothing else."""
    joiners_and_selectors = "\n\u200c\u200d\ufe0f"
    return character in joiners_and_selectors or unicodedata.category(character) not in (
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    )


def nasty_session() -> FakeSession:
    talk = conversation(
        keys=(f"{NASTY}/1", f"{NASTY}/2", NASTY), responses=4, title=NASTY, said=f"{NASTY} said {NASTY}"
    )
    session = score_now(fake_session(talk))
    session.notes = (NASTY, NASTY)
    session.failing = {1: NASTY}
    return session


def assert_safe(drawn: str) -> None:
    assert [hex(ord(character)) for character in drawn if not is_safe(character)] == []


@pytest.mark.parametrize("size", SIZES)
async def test_nasty_text_is_drawn_literally_on_the_matrix(size: tuple[int, int]) -> None:
    session = nasty_session()
    async with running(session, size=size) as pilot:
        assert_safe(picture(pilot))
        assert "[/red]" in picture(pilot)
        await press(pilot, "R")
        heatmap(pilot).move_to(1, 2)
        await drawn_through(pilot)
        drawn = picture(pilot)
        assert_safe(drawn)
        assert "x r3: failed: [/red]" in drawn


async def test_nasty_text_is_drawn_literally_in_a_response() -> None:
    session = nasty_session()
    async with running(session) as pilot:
        await press(pilot, "enter", "down", "right")
        assert isinstance(pilot.app.screen, ResponseScreen)
        drawn = picture(pilot)
        assert_safe(drawn)
        assert "[@click=app.quit]go[/]" in drawn
        assert "␛[31mred␛]0;owned␇" in drawn
        assert "⟨U+202E⟩" in drawn


async def test_nasty_text_is_drawn_literally_in_help_prompts_and_problems() -> None:
    session = nasty_session()
    session.problem = NASTY
    async with running(session) as pilot:
        drawn = picture(pilot)
        assert_safe(drawn)
        assert "✗ opening the model: [/red]" in drawn
        await press(pilot, "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        assert_safe(picture(pilot))
        await press(pilot, "escape", "e")
        assert isinstance(pilot.app.screen, ExportScreen)
        assert_safe(pilot.app.screen.query_one(Input).value)
        pilot.app.screen.query_one(Input).value = "[/x].xls"
        await press(pilot, "enter")
        assert_safe(picture(pilot))
        assert "[/x].xls: the ending must be" in picture(pilot)


@pytest.mark.parametrize("size", [(200, 50), (80, 24), (60, 14), (20, 6), (1, 1)])
async def test_every_screen_can_be_drawn_at_every_size(size: tuple[int, int]) -> None:
    session = score_now(fake_session(conversation(14, 22)))
    async with running(session, size=size) as pilot:
        picture(pilot)
        await press(pilot, "G", "end", "enter", "n")
        picture(pilot)
        await press(pilot, "question_mark")
        picture(pilot)


async def test_a_scrollbar_covers_no_cell_and_no_text() -> None:
    session = score_now(fake_session(conversation(40, 22)))
    async with running(session, size=(60, 14)) as pilot:
        await press(pilot, "G", "end")
        shown = heatmap(pilot)
        row = shown.render_line(shown.size.height - 2).text
        assert row.endswith("[]")
        assert len(row) == shown.size.width - 1
        await press(pilot, "enter")
        memories = pilot.app.screen.query_one(MemoryList)
        lines = [memories.render_line(y).text for y in range(memories.size.height)]
        assert all(len(line) == memories.size.width - 1 for line in lines)
        assert any(line.startswith(">") for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (60, 14)])
async def test_a_small_terminal_keeps_the_cells_the_sentence_and_the_keys(size: tuple[int, int]) -> None:
    session = score_now(fake_session(conversation(14, 22)))
    async with running(session, size=size) as pilot:
        drawn = picture(pilot)
        assert "[]" in drawn
        assert "nats, " in drawn
        assert "? Help" in drawn
        assert "“Answer" not in drawn
