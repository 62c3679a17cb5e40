"""The command palette: every action by its name, every place by its text, and nothing that is markup."""

import time

import numpy as np
import pytest
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.tui.arrangement import RowOrder, Zoom
from memscope.tui.keys import bindings_of
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.response import ResponseScreen
from memscope.tui.theme import LIGHT
from tests.tui.driving import cursor, drawn_through, picture, press, running, settled, strike, the_app, until
from tests.tui.fake import FakeSession, conversation, fake_session, score_now
from tests.tui.test_untrusted import NASTY, assert_safe, nasty_session

pytestmark = pytest.mark.anyio


def is_open(pilot: Pilot[None]) -> bool:
    return isinstance(pilot.app.screen, CommandPalette)


async def look_up(pilot: Pilot[None], text: str) -> list[str]:
    """Open the palette and type; the lines it shows."""
    if not is_open(pilot):
        await strike(pilot, "ctrl+p")
        await until(pilot, lambda: is_open(pilot) and bool(entries(pilot)))
    pilot.app.screen.query_one(Input).value = text
    await settled(pilot)
    return entries(pilot)


def entries(pilot: Pilot[None]) -> list[str]:
    options = pilot.app.screen.query_one(CommandList).options
    return [str(option.prompt) for option in options]


async def choose(pilot: Pilot[None], text: str) -> None:
    """Do the first that is found by a text."""
    found = await look_up(pilot, text)
    assert found, text
    await strike(pilot, "enter")
    await until(pilot, lambda: not is_open(pilot))
    await settled(pilot)


def named(lines: list[str]) -> str:
    """Lines without the spaces that align them."""
    return "\n".join(" ".join(line.split()) for line in lines)


async def assert_every_binding_is_listed(pilot: Pilot[None]) -> None:
    """All that works here is in the palette by what its key's tooltip says, and nothing that does not."""
    app = the_app(pilot)
    screen = app.screen
    commands = app.commands(screen)
    bound = {
        (node, binding.action)
        for node in (screen.focused or screen).ancestors_with_self
        for binding in bindings_of(type(node))
    }
    assert {(command.node, command.binding.action) for command in commands} == bound
    listed = named(await look_up(pilot, ""))
    for command in commands:
        title = f"{command.binding.description} {command.binding.tooltip}"
        if command.binding.action != "command_palette":
            assert (title in listed) == command.works, title
    await press(pilot, "escape")


@pytest.mark.parametrize("keys", [(), ("enter",), ("3",), ("4",), ("5",)])
async def test_every_binding_that_works_has_an_entry(keys: tuple[str, ...]) -> None:
    async with running(score_now(fake_session())) as pilot:
        await press(pilot, *keys)
        await assert_every_binding_is_listed(pilot)


async def test_an_action_is_found_by_its_words_with_its_key_and_done_where_it_belongs() -> None:
    session = fake_session()
    async with running(session) as pilot:
        (line,) = [each for each in await look_up(pilot, "missing score") if "what is missing" in each]
        assert line.split() == ["r", "Score", "Score", "what", "is", "missing"]
        await choose(pilot, "missing score")
        assert session.runs == [False]
        await choose(pilot, "bottom row")
        assert cursor(pilot)[0] == the_app(pilot).opened.view.order[-1]


async def test_what_does_not_work_now_is_not_offered() -> None:
    async with running(score_now(fake_session())) as pilot:
        assert await look_up(pilot, "stop scoring") == []


async def test_the_choices_behind_cycling_keys_are_named() -> None:
    async with running(score_now(fake_session())) as pilot:
        view = the_app(pilot).opened.view
        await choose(pilot, "rows by key")
        await choose(pilot, "zoom numbers")
        await choose(pilot, "metric clamped")
        assert (view.row_order, view.zoom, view.metric) == (RowOrder.KEY, Zoom.NUMBERS, Metric.CLAMPED)
        assert the_app(pilot).opened.session.metric is Metric.CLAMPED


async def test_a_memory_is_gone_to_by_key_and_a_response_by_number_and_text() -> None:
    async with running(score_now(fake_session(conversation(12, 8)))) as pilot:
        await choose(pilot, "memory-07")
        assert cursor(pilot)[0] == 7
        await choose(pilot, "r3")
        assert cursor(pilot) == (7, 2)
        await choose(pilot, "answer 6.")
        assert cursor(pilot) == (7, 5)


async def test_from_a_response_the_palette_goes_to_another() -> None:
    async with running(score_now(fake_session(conversation(12, 8)))) as pilot:
        await press(pilot, "enter")
        await choose(pilot, "r3")
        assert isinstance(pilot.app.screen, ResponseScreen)
        assert the_app(pilot).opened.cell[1] == 2


async def test_a_theme_is_chosen_by_its_name() -> None:
    async with running(score_now(fake_session())) as pilot:
        await choose(pilot, LIGHT.name)
        assert pilot.app.theme == LIGHT.name


async def test_a_picture_is_asked_for_everywhere() -> None:
    async with running(score_now(fake_session())) as pilot:
        await choose(pilot, "picture")
        assert isinstance(pilot.app.screen, ExportScreen)
        assert pilot.app.screen.query_one(Input).value == "memscope-matrix.svg"


@pytest.mark.parametrize("size", [(120, 36), (60, 14)])
async def test_nasty_texts_are_drawn_literally(size: tuple[int, int]) -> None:
    async with running(nasty_session(), size=size) as pilot:
        lines = await look_up(pilot, "[/red]")
        assert len(lines) == 7  # three memories, four responses
        assert all("[/red][@click=app.quit]go[/]" in line for line in lines)
        assert_safe(picture(pilot))
        assert await look_up(pilot, f"{NASTY}") != []


async def test_a_large_session_is_searched_quickly_and_what_is_found_is_bounded() -> None:
    talk = conversation(
        keys=tuple(f"{'very/long/' * 40}memory-{n:04}" for n in range(1000)),
        responses=5000,
        said="zebra " * 100,
    )
    possible = np.ones((len(talk.memories), len(talk.responses)), np.bool_)
    matrix = ScoreMatrix([memory.key for memory in talk.memories], talk.responses, possible)
    session = FakeSession(talk, matrix, {})
    session.model.set()
    async with running(session) as pilot:
        await look_up(pilot, "")
        began = time.perf_counter()
        found = await look_up(pilot, "zebra zebra")
        assert len(found) == 20
        assert len(await look_up(pilot, "memory-")) == 20
        await look_up(pilot, "nothing holds this")
        assert time.perf_counter() - began < 5  # 0.3 s on two idle cores


async def test_a_command_is_done_once_however_often_enter_is_pressed() -> None:
    async with running(score_now(fake_session())) as pilot:
        await look_up(pilot, "open the response")
        for _ in range(3):
            pilot.app.simulate_key("enter")
        await settled(pilot)
        assert [type(screen) for screen in pilot.app.screen_stack[-2:]] == [MatrixScreen, ResponseScreen]


@pytest.mark.parametrize("typed", ["", "m", "nothing is called this"])
async def test_keys_that_come_before_the_list_is_drawn_do_no_harm(typed: str) -> None:
    async with running(score_now(fake_session())) as pilot:
        for key in ("pageup", "pagedown", "home", "end", "up", "down"):
            for each in ("ctrl+p", *typed, key):
                pilot.app.simulate_key({" ": "space"}.get(each, each))
            await drawn_through(pilot)
            assert is_open(pilot)
            await strike(pilot, "escape")
        assert isinstance(pilot.app.screen, MatrixScreen)
