"""The Response screen, key by key."""

import numpy as np
import pytest
from rich.style import Style
from textual.pilot import Pilot

from memscope.scoring.matrix import CellState, Metric
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.memory_list import MemoryList
from memscope.tui.widgets.memory_text import MemoryText
from memscope.tui.widgets.token_text import TokenText
from tests.tui.driving import cursor, heatmap, picture, press, running, settled, strike, the_app, until
from tests.tui.fake import FakeSession, conversation, fake_session, score_now

pytestmark = pytest.mark.anyio


def scored(memories: int = 4, responses: int = 6) -> FakeSession:
    return score_now(fake_session(conversation(memories, responses)))


async def open_response(pilot: Pilot[None], memory: int, response: int) -> None:
    heatmap(pilot).move_to(memory, response)
    await press(pilot, "enter")


def chosen(pilot: Pilot[None]) -> int | None:
    return pilot.app.screen.query_one(MemoryList).memory


def text(pilot: Pilot[None]) -> TokenText:
    return pilot.app.screen.query_one(TokenText)


def detail(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one("#token", Line).text


def styles(pilot: Pilot[None]) -> list[tuple[str, Style]]:
    """Every word of the response with its style."""
    lines = (text(pilot).render_line(y) for y in range(text(pilot).size.height))
    return [(word, s.style) for line in lines for s in line if s.style for word in s.text.split()]


async def test_it_shows_the_response_its_memories_by_divergence_and_the_chosen_memorys_text() -> None:
    session = scored()
    async with running(session) as pilot:
        await open_response(pilot, 1, 2)
        drawn = picture(pilot)
        assert "r3 · entry 8 · " in drawn
        assert "log-probability -71.2 nats" in drawn
        assert "Answer 3. you could take the tram" in drawn
        assert "What the user said about topic1/memory-01" in drawn
        values = session.matrix.values(Metric.SIGNED)[:, 2]
        for memory in range(3):
            assert f"{values[memory]:+.2f}" in drawn
        assert "topic3/memory-03" not in drawn


async def test_words_are_underlined_where_the_memory_helped_and_struck_where_it_hurt() -> None:
    session = scored()
    with_all = np.full(len(session.tokens(0)), -2.0, np.float32)
    drops = np.zeros_like(with_all)
    drops[1], drops[3], drops[4] = 4.0, -3.0, 0.01
    session.logprobs[0, 0] = with_all, with_all - drops
    async with running(session) as pilot:
        await open_response(pilot, 0, 0)
        await press(pilot, "right")
        drawn = dict(styles(pilot))
        assert drawn["1."].underline
        assert not drawn["1."].strike
        assert drawn["Lyon"].strike
        assert not drawn["Lyon"].underline
        assert drawn["1."].bgcolor != drawn["Lyon"].bgcolor
        assert not drawn["you"].underline
        assert not drawn["you"].strike


async def test_the_token_cursor_starts_where_most_changed_and_says_the_numbers() -> None:
    session = scored()
    with_all = np.full(len(session.tokens(0)), -0.21, np.float32)
    without = with_all.copy()
    without[3] = -5.8
    session.logprobs[0, 0] = with_all, without
    async with running(session) as pilot:
        await open_response(pilot, 0, 0)
        assert detail(pilot) == f"“ Lyon” +5.59 nats: -0.21 with, -5.80 without · token 4 of {len(with_all)}"
        await press(pilot, "right")
        assert detail(pilot).startswith("“ you” +0.00 nats: -0.21 with, -0.21 without · token 5 of ")
        await press(pilot, *["h"] * 9)
        assert detail(pilot).startswith("“Answer” ")


async def test_up_and_down_choose_a_memory_and_recolour_the_text() -> None:
    session = scored()
    async with running(session) as pilot:
        ranking = [each.memory for each in the_app(pilot).opened.view.ranking(2)]
        await open_response(pilot, ranking[0], 2)
        seen = [styles(pilot)]
        await press(pilot, "down")
        assert chosen(pilot) == ranking[1]
        seen.append(styles(pilot))
        await press(pilot, "j")
        assert chosen(pilot) == ranking[2]
        await press(pilot, "j", "k")
        assert chosen(pilot) == ranking[1]
        assert seen[0] != seen[1]
        assert session.matrix.keys[ranking[1]] in detail(pilot) or "token" in detail(pilot)
        memory_title = f"What the user said about {session.matrix.keys[ranking[1]]}"
        assert memory_title in picture(pilot)


async def test_n_and_p_walk_the_responses_and_stop_at_the_ends() -> None:
    session = scored()
    async with running(session) as pilot:
        await open_response(pilot, 0, 4)
        await press(pilot, "n")
        assert "r6 · entry" in picture(pilot)
        await press(pilot, "right_square_bracket")
        assert "r6 · entry" in picture(pilot)
        await press(pilot, "p", "left_square_bracket")
        assert "r4 · entry" in picture(pilot)


@pytest.mark.parametrize("key", ["escape", "q"])
async def test_back_on_the_matrix_the_cursor_is_on_what_was_looked_at_last(key: str) -> None:
    session = scored()
    async with running(session) as pilot:
        ranking = [each.memory for each in the_app(pilot).opened.view.ranking(2)]
        await open_response(pilot, ranking[0], 1)
        await press(pilot, "n")
        while chosen(pilot) != ranking[1]:
            await press(pilot, "down" if chosen(pilot) == ranking[0] else "up")
        await press(pilot, key)
        assert isinstance(pilot.app.screen, MatrixScreen)
        assert cursor(pilot) == (ranking[1], 2)


async def test_a_memory_that_enters_later_gives_way_to_the_first_in_the_list() -> None:
    session = scored()
    async with running(session) as pilot:
        await open_response(pilot, 3, 0)
        assert chosen(pilot) == the_app(pilot).opened.view.ranking(0)[0].memory


async def test_an_unscored_response_shows_its_text_and_says_that_it_is_not_scored() -> None:
    session = fake_session(conversation(4, 6))
    async with running(session) as pilot:
        await open_response(pilot, 0, 2)
        assert "Answer 3. you could take the tram" in picture(pilot)
        assert detail(pilot) == "topic0/memory-00: not scored yet"


async def test_it_colours_itself_while_scoring_runs() -> None:
    session = fake_session(conversation(4, 6), open_gate=False)
    async with running(session) as pilot:
        await open_response(pilot, 0, 2)
        await strike(pilot, "r")
        await until(pilot, lambda: "being scored" in detail(pilot))
        session.gate.set()
        await settled(pilot)
        await settled(pilot)
        assert session.matrix.states[0, 2] == CellState.SCORED
        assert chosen(pilot) == 0
        assert " without · token " in detail(pilot)
        value = session.matrix.values(Metric.SIGNED)[0, 2]
        assert f"{value:+.2f}" in picture(pilot)


async def test_the_metric_changes_here_too() -> None:
    session = scored()
    async with running(session) as pilot:
        await open_response(pilot, 0, 2)
        await press(pilot, "m", "m")
        values = session.matrix.values(Metric.TOKEN_CLAMPED)[:, 2]
        assert f"{values[1]:+.2f}" in picture(pilot)


async def test_a_click_chooses_a_token_or_a_memory() -> None:
    session = scored()
    async with running(session) as pilot:
        await open_response(pilot, 0, 2)
        await pilot.click(text(pilot), offset=(12, 0))
        await settled(pilot)
        assert detail(pilot).startswith("“ you” ")
        await pilot.click(MemoryList, offset=(3, 1))
        await settled(pilot)
        assert chosen(pilot) == the_app(pilot).opened.view.ranking(2)[1].memory


async def test_a_long_response_scrolls_to_its_token_and_by_pages() -> None:
    talk = conversation(2, 1, said="word " * 2000 + "end")
    session = score_now(fake_session(talk))
    async with running(session, size=(80, 24)) as pilot:
        await open_response(pilot, 0, 0)
        text(pilot).scroll_to(y=0, animate=False)
        await press(pilot, "pagedown")
        first = text(pilot).scroll_offset.y
        assert first > 0
        await press(pilot, "pageup")
        assert text(pilot).scroll_offset.y == 0


async def test_a_tool_call_is_part_of_the_response() -> None:
    session = fake_session(conversation(2, 1, said='→ book({"city": "Lyon"})'))
    async with running(session) as pilot:
        await open_response(pilot, 0, 0)
        assert '→ book({"city": "Lyon"})' in picture(pilot)


async def test_the_memorys_text_has_the_words_underlined_that_are_coloured_in_the_response() -> None:
    session = fake_session(conversation(4, 6, said="Take the Train to Lyon at noon."))
    drops = np.zeros(len(session.tokens(0)), np.float32)
    drops[2], drops[6] = 4.0, -3.0  # "Train" and "noon."
    with_all = np.full(len(drops), -5.0, np.float32)
    session.logprobs[0, 0] = with_all, with_all - drops
    async with running(score_now(session)) as pilot:
        await open_response(pilot, 0, 0)
        memory = pilot.app.screen.query_one(MemoryText)
        lines = (memory.render_line(y) for y in range(memory.size.height))
        underlined = [s.text for line in lines for s in line if s.style and s.style.underline]
        assert underlined == ["train"]
