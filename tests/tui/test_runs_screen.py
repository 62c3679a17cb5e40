"""The Runs screen over real runs on disk, key by key; a past run and two of them compared."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widgets import Static

from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.database import FILE
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.matrix import Metric
from memscope.scoring.runs import RunInfo, Runs
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.keys import bindings_of
from memscope.tui.screens.compare import CompareScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.past_run import PastRunScreen
from memscope.tui.screens.runs import RunsScreen
from memscope.tui.widgets.heatmap import Heatmap
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.moved_list import MovedList
from memscope.tui.widgets.past_heatmap import PastHeatmap
from memscope.tui.widgets.run_list import RunList
from tests.scorers_fake import TALK, HashScorer, conversation, failing, opening, scored
from tests.tui.driving import (
    cursor,
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
from tests.tui.test_untrusted import NASTY, assert_safe

pytestmark = pytest.mark.anyio

SHORT = TALK[:7]
"""The talk before its third response, and before its first memory came up again."""
OTHER = partial(HashScorer, model="other", fingerprint="hash 2")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("memscope.scoring.session.open_scorer", opening(HashScorer()))
    return tmp_path / "cache"


async def keep(
    cache: Path, scorer: HashScorer, *messages: tuple[str, str], metric: Metric = Metric.SIGNED
) -> None:
    """Score a conversation to its end, so that it is a run of the past."""
    await asyncio.to_thread(scored, conversation(*messages), cache, scorer, metric)


@asynccontextmanager
async def the_runs(
    talk: Conversation | None = None, *, size: tuple[int, int] = (150, 40)
) -> AsyncIterator[Pilot[None]]:
    """The app with the talk open, on the Runs screen."""
    session = Session(talk or conversation(*TALK))
    async with running(session, size=size) as pilot:
        await press(pilot, "5")
        assert isinstance(pilot.app.screen, RunsScreen)
        yield pilot
    session.close()


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until a text is on the screen."""
    await until(pilot, lambda: text in picture(pilot))


def runs_of(pilot: Pilot[None]) -> list[RunInfo]:
    return list(pilot.app.screen.query_one(RunList).runs)


def models(pilot: Pilot[None]) -> list[str]:
    return [run.model for run in runs_of(pilot)]


def shown_rows(pilot: Pilot[None]) -> list[int]:
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    return [int(row) for row in screen.view.order]


def said(pilot: Pilot[None], name: str) -> str:
    return pilot.app.screen.query_one(f"#{name}", Line).text


async def test_without_runs_it_says_what_to_do_and_a_scoring_appears_when_it_ends() -> None:
    async with the_runs() as pilot:
        await shows(pilot, "No scoring of this conversation is kept yet.")
        await shows(pilot, "r scores 5 cells now.")
        await press(pilot, "r")
        await until(pilot, lambda: "No scoring" not in picture(pilot))
        assert models(pilot) == ["hash"]
        await shows(pilot, "5 of 5")
        await press(pilot, "R")
        assert len(runs_of(pilot)) == 2


async def test_runs_stand_newest_first_and_the_one_under_the_cursor_is_told_in_full(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memscope.scoring.asking._ATTEMPTS", 1)
    await keep(cache, HashScorer(answer=failing(2, reason="the server said [/no]")), *TALK)
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        assert models(pilot) == ["other", "hash"]
        await shows(pilot, "2 runs, newest first")
        await press(pilot, "j")
        drawn = picture(pilot)
        assert "✗ failed" in drawn
        assert str(pilot.app.screen.query_one("#reason", Static).content) == "the server said [/no]"
        failed = runs_of(pilot)[1]
        assert f"{failed.scored} of 5 cells scored · {failed.failed} failed" in drawn
        await press(pilot, "k", "G", "g", "end", "home", "pagedown", "pageup")
        assert pilot.app.screen.query_one(RunList).item == runs_of(pilot)[0]


async def test_enter_opens_a_run_as_it_was_and_nothing_is_scored_there(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        run = runs_of(pilot)[0]
        past = Runs(cache / FILE).matrix(run.id)
        await press(pilot, "enter")
        screen = pilot.app.screen
        assert isinstance(screen, PastRunScreen)
        assert said(pilot, "title").startswith(
            f"past run  {run.began.astimezone():%Y-%m-%d %H:%M:%S}, just now"
        )
        heatmap(pilot).move_to(1, 2)
        await drawn_through(pilot)
        value = past.values(Metric.SIGNED)[1, 2]
        assert said(pilot, "sentence").startswith(f"diet x r3: {value:+.2f} nats, ")
        await shows(pilot, "“Walk home along the quay.”")
        for action in ("score", "score_again", "follow"):
            assert screen.check_action(action, ()) is False
        before = the_app(pilot).opened.view.metric
        await press(pilot, "m")
        assert "· clamped" in said(pilot, "sentence")
        assert the_app(pilot).opened.view.metric is before
        await press(pilot, "s", "g", "t", "z")
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_a_filter_says_how_many_memories_it_shows_of_a_run_and_of_a_difference(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "enter", "F")
        assert " · above noise: 2 of 2 memories · 5 of 5 cells" in said(pilot, "title")
        await press(pilot, "escape", "c", "F")
        assert "  b - a · above noise: 0 of 2 memories · signed" in said(pilot, "title")


async def test_the_cursor_begins_on_the_present_cell_and_enter_leads_back_to_the_present(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        the_app(pilot).opened.cell = (1, 1)
        await press(pilot, "enter")
        assert cursor(pilot) == (1, 1)
        heatmap(pilot).move_to(0, 2)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, MatrixScreen)
        await until(pilot, lambda: the_app(pilot).opened.cell == cursor(pilot) == (0, 2))
        await press(pilot, "5")
        assert isinstance(pilot.app.screen, PastRunScreen)


async def test_what_is_gone_and_what_came_since_is_said(cache: Path) -> None:
    await keep(cache, OTHER(), ("gone", "Nora has a cat."), *SHORT[1:])
    async with the_runs() as pilot:
        await press(pilot, "enter")
        assert said(pilot, "changed") == ("1 memory is no longer in the conversation · 1 response came since")
        heatmap(pilot).move_to(0, 1)
        await drawn_through(pilot)
        assert said(pilot, "sentence").endswith("· memory no longer there")
        await shows(pilot, "this memory is no longer in the conversation")
        await press(pilot, "enter")
        assert said(pilot, "sentence") == "this cell is no longer in the conversation"
        assert isinstance(pilot.app.screen, PastRunScreen)


async def test_a_past_run_follows_a_conversation_that_grows(cache: Path) -> None:
    await keep(cache, OTHER(), *SHORT)
    async with the_runs(conversation(*SHORT)) as pilot:
        await press(pilot, "enter")
        assert said(pilot, "changed") == ""
        the_app(pilot).adopt(conversation(*TALK))
        await settled(pilot)
        assert said(pilot, "changed") == "1 response came since"


async def test_escape_leaves_the_find_line_and_not_the_run(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "enter", "slash", *"peanuts", "escape")
        assert isinstance(pilot.app.screen, PastRunScreen)
        await press(pilot, "slash", *"peanuts", "enter")
        assert "1 of 1 found: diet" in said(pilot, "sentence")
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_c_compares_with_the_run_before(cache: Path) -> None:
    await keep(cache, HashScorer(), *SHORT)
    await keep(cache, HashScorer(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "c")
        assert isinstance(pilot.app.screen, CompareScreen)
        drawn = picture(pilot)
        assert "two runs  b - a · signed" in drawn
        assert "3 cells compared, none moved" in drawn
        assert "only in b: response at entry 9" in drawn
        assert "no cell moved" in drawn
        await press(pilot, "q", "j")
        assert pilot.app.screen.check_action("compare", ()) is False


async def test_the_help_of_a_difference_says_what_its_cells_mean(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "c", "question_mark")
        assert "larger in b" in picture(pilot)
        assert "left out" not in picture(pilot)


async def test_space_marks_another_run_to_compare_with(cache: Path) -> None:
    third = HashScorer(model="third", fingerprint="hash 3", noise_floor=100.0)
    for scorer in (HashScorer(), OTHER(), third):
        await keep(cache, scorer, *TALK)
    async with the_runs() as pilot:
        await press(pilot, "G", "space")
        await shows(pilot, "marked a")
        await press(pilot, "g", "c")
        drawn = picture(pilot)
        assert "different models: a hash, b third" in drawn
        await press(pilot, "escape", "escape")
        await until(pilot, lambda: "marked a" not in picture(pilot))
        await press(pilot, "space", "space", "c")
        await shows(pilot, "different models: a other, b third")


async def test_the_cells_that_moved_most_are_listed_and_lead_to_the_heatmap(
    cache: Path,
) -> None:
    await keep(cache, HashScorer(), *TALK)

    def other_numbers(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
        return replace(score, logprobs=score.logprobs * np.float32(1 + number / 7))

    await keep(cache, HashScorer(model="other", fingerprint="hash 2", answer=other_numbers), *TALK)
    async with the_runs() as pilot:
        newest, oldest = (Runs(cache / FILE).matrix(run.id).values(Metric.SIGNED) for run in runs_of(pilot))
        await press(pilot, "c")
        found = {
            (row, column): newest[row, column] - oldest[row, column]
            for row in range(2)
            for column in range(3)
            if (row, column) != (1, 0)
        }
        by_size = sorted(found, key=lambda cell: -abs(found[cell]))
        assert cursor(pilot) == by_size[0]
        memory, response = by_size[0]
        value, key = found[memory, response], ("home", "diet")[memory]
        assert said(pilot, "sentence").startswith(f"{key} x r{response + 1}: {value:+.2f} nats, ")
        await press(pilot, "tab", "down", "down")
        assert isinstance(pilot.app.focused, MovedList)
        assert cursor(pilot) == by_size[2]
        await press(pilot, "enter")
        assert isinstance(pilot.app.focused, Heatmap)
        await press(pilot, "F", "F", "F")
        assert shown_rows(pilot) == []
        await press(pilot, "tab")
        assert cursor(pilot) == by_size[2]
        assert len(shown_rows(pilot)) == 2
        await press(pilot, "tab", "m")
        await shows(pilot, "b - a · clamped")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, MatrixScreen)


async def test_runs_under_different_metrics_are_compared_under_that_of_the_newer(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *TALK, metric=Metric.CLAMPED)
    async with the_runs() as pilot:
        await press(pilot, "c")
        assert "different metrics: a signed, b clamped, compared as clamped" in said(pilot, "differing")


async def test_a_metric_that_one_of_two_lacks_is_left_out(cache: Path) -> None:
    def total(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
        return replace(score, logprobs=score.logprobs.sum(keepdims=True))

    await keep(cache, HashScorer(per_token=False, answer=total), *TALK)
    await keep(cache, OTHER(), *TALK, metric=Metric.TOKEN_CLAMPED)
    async with the_runs() as pilot:
        await press(pilot, "c")
        assert "b - a · signed" in said(pilot, "title")
        await press(pilot, "m", "m")
        assert "b - a · signed" in said(pilot, "title")


async def test_a_run_is_deleted_only_at_a_second_press(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "D")
        await shows(pilot, "D again deletes the run of")
        await press(pilot, "escape", "D", "j", "k", "D")
        assert models(pilot) == ["other", "hash"]
        await press(pilot, "delete")
        assert models(pilot) == ["hash"]
        assert [run.model for run in Runs(cache / FILE).of("talk.jsonl")] == ["hash"]
        await press(pilot, "D", "D")
        await shows(pilot, "No scoring of this conversation is kept yet.")


async def test_a_run_that_is_gone_or_damaged_is_said_in_place(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    async with the_runs() as pilot:
        Runs(cache / FILE).delete(runs_of(pilot)[0].id)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RunsScreen)
        await shows(pilot, "is not kept any more.")


async def test_a_file_that_cannot_be_used_is_said_in_place(cache: Path) -> None:
    async with the_runs() as pilot:
        await press(pilot, "2")
        for file in cache.iterdir():
            file.unlink()
        (cache / FILE).mkdir()
        screen = RunsScreen(the_app(pilot).opened)
        pilot.app.push_screen(screen)
        await settled(pilot)
        assert "Runs are not kept: " in said(pilot, "said")


async def test_a_click_moves_and_a_second_one_opens(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await pilot.click(RunList, offset=(10, 2))
        await settled(pilot)
        assert pilot.app.screen.query_one(RunList).item == runs_of(pilot)[1]
        await pilot.click(RunList, offset=(10, 1), times=2)
        await settled(pilot)
        assert isinstance(pilot.app.screen, PastRunScreen)


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (60, 14), (20, 6)])
async def test_nasty_text_is_drawn_literally_at_every_size(cache: Path, size: tuple[int, int]) -> None:
    nasty = NASTY.replace("\ud800", "")  # a token has none
    talk = ((nasty, f"{nasty} lives here."), *TALK)
    for model in (nasty, f"{nasty}!"):
        await keep(cache, HashScorer(model=model, fingerprint=model, name=nasty), *talk)
    async with the_runs(conversation(*talk, title=nasty), size=size) as pilot:
        for key in ("down", "space", "up", "D", "escape", "enter", "escape", "c", "tab", "down", "tab"):
            await press(pilot, key)
            assert_safe(picture(pilot))
        assert isinstance(pilot.app.screen, CompareScreen)


async def test_in_a_narrow_terminal_the_list_takes_the_place_of_the_heatmap(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *SHORT)
    async with the_runs(size=(60, 14)) as pilot:
        await press(pilot, "c")
        await until(pilot, lambda: heatmap(pilot).display)
        await until(pilot, lambda: "only in a" not in picture(pilot))
        await press(pilot, "tab")
        await until(pilot, lambda: not heatmap(pilot).display)
        await shows(pilot, "only in a: response at entry 9")
        await press(pilot, "enter", "tab")  # no cell moved that enter could lead to
        await until(pilot, lambda: heatmap(pilot).display)


async def test_help_tells_the_keys_of_each_screen(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        await shows(pilot, "Delete the run, at a second press")
        await press(pilot, "escape", "enter", "question_mark")
        await shows(pilot, "where its words are")


async def test_another_session_has_other_runs(cache: Path, tmp_path: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    log = tmp_path / "other.jsonl"
    log.write_text('{"role": "assistant", "content": "Hi."}\n')

    def opener(path: str, branch: str | None) -> tuple[Session, Follower]:
        follower = Follower(path, branch)
        return Session(follower.open()), follower

    first = Session(conversation(*TALK))
    app = MemscopeApp(first, opener=opener)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await press(pilot, "5", "enter", "1")
        app.open_file(str(log), None)
        await until(pilot, lambda: app.opened.session is not first)
        await strike(pilot, "5")
        await until(pilot, lambda: "No scoring of this conversation is kept yet." in picture(pilot))
        assert isinstance(app.screen, RunsScreen)
        app.close()


@pytest.mark.parametrize("owner", [RunsScreen, PastRunScreen, CompareScreen, RunList, MovedList, PastHeatmap])
def test_every_binding_has_an_id_and_a_tooltip(owner: type[DOMNode]) -> None:
    for binding in bindings_of(owner):
        assert binding.id
        assert binding.tooltip
