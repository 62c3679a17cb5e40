"""The Matrix screen, key by key."""

from pathlib import Path

import numpy as np
import pytest
from textual.dom import DOMNode
from textual.widgets import Input

from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.arrangement import RowOrder
from memscope.tui.keys import bindings_of
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.response import ResponseScreen
from memscope.tui.theme import palette
from memscope.tui.widgets.activity_bar import ActivityBar
from memscope.tui.widgets.heatmap import Heatmap
from memscope.tui.widgets.heatmap_lines import HEADER, HeatmapLines
from tests.scorers_fake import TALK, HashScorer
from tests.scorers_fake import conversation as talk
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
from tests.tui.fake import conversation, fake_session, score_now

pytestmark = pytest.mark.anyio


async def test_arrows_and_letters_move_the_cursor_and_stop_at_the_edges() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        order = the_app(pilot).opened.view.order.tolist()
        await strike(pilot, "g", "home", "down", "right", "right")
        assert cursor(pilot) == (order[1], 2)
        await strike(pilot, "j", "l", "k", "h", "up", "up", "left", "left", "left")
        assert cursor(pilot) == (order[0], 0)
        await strike(pilot, "G", "end")
        assert cursor(pilot) == (order[-1], 5)
        await strike(pilot, "down", "right")
        assert cursor(pilot) == (order[-1], 5)


async def test_page_keys_move_by_a_screen_and_the_cursor_stays_in_sight() -> None:
    session = score_now(fake_session(conversation(60, 100)))
    async with running(session, size=(80, 24)) as pilot:
        view = the_app(pilot).opened.view
        await strike(pilot, "g", "pagedown", "pagedown")
        row = int(view.row_of[cursor(pilot)[0]])
        assert 20 < row < 40
        top = heatmap(pilot).scroll_offset.y
        assert top <= row < top + heatmap(pilot).size.height - HEADER
        await strike(pilot, "pageup", "pageup", "end")
        assert int(view.row_of[cursor(pilot)[0]]) == 0
        assert heatmap(pilot).scroll_offset.x > 0
        assert "r100" in heatmap(pilot).render_line(0).text
        assert "[]" in heatmap(pilot).render_line(HEADER).text


async def test_the_sentence_and_the_panel_follow_the_cursor() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        await strike(pilot, "g", "end")
        memory, _ = cursor(pilot)
        value = session.matrix.values(Metric.SIGNED)[memory, 5]
        await until(pilot, lambda: "r6 · entry" in picture(pilot))
        drawn = picture(pilot)
        assert f"{session.matrix.keys[memory]} x r6: {value:+.2f} nats, " in drawn
        assert f"r6 · entry {session.matrix.responses[5]} · {session.matrix.tokens[5]} tokens" in drawn
        assert "“Answer 6. In Lyon" in drawn
        assert (
            f"{session.matrix.keys[memory]} · entry {session.conversation.memories[memory].entries[0]}"
            in drawn
        )
        assert "What the user said about" in drawn


async def test_a_click_moves_the_cursor_and_a_second_one_opens_the_response() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        gutter = (
            HeatmapLines(the_app(pilot).opened.view, palette(pilot.app))
            .gutter(heatmap(pilot).size.width)
            .width
        )
        await pilot.click(heatmap(pilot), offset=(gutter + 3 * 2, HEADER + 2))
        await drawn_through(pilot)
        assert cursor(pilot) == (int(the_app(pilot).opened.view.order[2]), 3)
        await pilot.click(heatmap(pilot), offset=(gutter + 1, 0))
        await drawn_through(pilot)
        assert cursor(pilot) == (int(the_app(pilot).opened.view.order[2]), 0)
        await pilot.click(heatmap(pilot), offset=(gutter + 1, HEADER), times=2)
        await settled(pilot)
        assert isinstance(pilot.app.screen, ResponseScreen)


async def test_scrolling_leaves_the_cursor_where_it_is() -> None:
    session = score_now(fake_session(conversation(60, 10)))
    async with running(session, size=(80, 24)) as pilot:
        before = cursor(pilot)
        heatmap(pilot).scroll_relative(y=10, animate=False)
        await drawn_through(pilot)
        assert heatmap(pilot).scroll_offset.y > 0
        assert cursor(pilot) == before


async def test_unscored_cells_wait_and_say_what_scoring_them_takes() -> None:
    session = fake_session(conversation(4, 6))
    async with running(session) as pilot:
        drawn = picture(pilot)
        assert "r scores 21 cells: 4,000 tokens" in drawn
        assert "43,500 tokens (81,800 naive)" in drawn
        assert session.runs == []


async def test_r_scores_what_is_missing() -> None:
    session = fake_session(conversation(4, 6))
    async with running(session) as pilot:
        await press(pilot, "r")
        assert session.runs == [False]
        assert session.matrix.count(CellState.SCORED) == 21
        view = the_app(pilot).opened.view
        assert (np.diff(view.weights[view.order]) <= 0).all()
        assert "all cells scored" in picture(pilot)
        assert not pilot.app.screen.check_action("score", ())


async def test_the_demo_scores_at_once() -> None:
    session = fake_session(conversation(4, 6))
    async with running(session, score_at_once=True) as pilot:
        await settled(pilot)
        assert session.runs == [False]


async def test_r_while_the_model_is_being_opened_scores_as_soon_as_it_is_open() -> None:
    session = fake_session(conversation(4, 6))
    session.model.clear()
    app = MemscopeApp(session.as_session, score_at_once=False)
    async with app.run_test(size=(120, 36)) as pilot:
        await drawn_through(pilot)
        await strike(pilot, "r")
        assert "scoring begins when the model is open" in picture(pilot)
        assert session.runs == []
        session.model.set()
        await settled(pilot)
        await settled(pilot)
        assert session.runs == [False]


async def test_capital_r_scores_everything_again() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        await press(pilot, "R")
        assert session.runs == [True]
        assert session.matrix.count(CellState.SCORED) == 21


async def test_x_stops_and_what_was_running_is_pending_again() -> None:
    session = fake_session(conversation(4, 6), open_gate=False)
    async with running(session) as pilot:
        await strike(pilot, "r")
        await until(pilot, lambda: "… … " in heatmap(pilot).render_line(HEADER).text)
        assert the_app(pilot).opened.work.scoring
        assert "… … … " in heatmap(pilot).render_line(HEADER).text
        assert session.matrix.count(CellState.RUNNING) > 0
        await strike(pilot, "x")
        await until(pilot, lambda: "/ / / " in heatmap(pilot).render_line(HEADER).text)
        assert not the_app(pilot).opened.work.scoring
        assert session.closed == 1
        assert session.matrix.count(CellState.RUNNING) == 0
        assert "/ / / " in heatmap(pilot).render_line(HEADER).text


async def test_what_a_stopped_scoring_of_everything_did_not_come_to_is_as_it_was(scorer: HashScorer) -> None:
    session = Session(talk(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await settled(pilot)
        before, asked = session.matrix.values(session.metric).copy(), len(scorer.requests)

        def stop(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            the_app(pilot).opened.work.stop()
            return score

        scorer.answer = stop
        await press(pilot, "R")
        assert len(scorer.requests) == asked + 1, "it was stopped at once"
        assert np.array_equal(session.matrix.values(session.metric), before, equal_nan=True)
        assert "all cells scored" in picture(pilot)
    session.close()


async def test_keys_work_and_rows_fill_while_scoring_runs() -> None:
    session = fake_session(conversation(4, 6), open_gate=False)
    async with running(session) as pilot:
        await strike(pilot, "r")
        await until(pilot, lambda: "… … " in heatmap(pilot).render_line(HEADER).text)
        await strike(pilot, "down", "right")
        memory, response = cursor(pilot)
        assert response == 1
        session.gate.set()
        await settled(pilot)
        assert cursor(pilot) == (memory, response)
        row = int(the_app(pilot).opened.view.row_of[memory])
        assert "[]" in heatmap(pilot).render_line(HEADER + row).text


async def test_the_footer_offers_only_what_works_now() -> None:
    session = fake_session(conversation(4, 6), open_gate=False)
    async with running(session) as pilot:
        app = the_app(pilot)

        def offered() -> set[str]:
            return {active.binding.action for active in app.screen.active_bindings.values()}

        assert {"score", "score_again"} <= offered()
        assert not {"stop", "export", "dismiss_failures"} & offered()
        await strike(pilot, "r")
        await until(pilot, lambda: the_app(pilot).opened.work.scoring)
        assert "stop" in offered()
        assert "score" not in offered()
        session.gate.set()
        await settled(pilot)
        assert "export" in offered()
        assert not {"stop", "score"} & offered()


async def test_m_changes_the_metric_and_keeps_the_cursor() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        await strike(pilot, "down", "right")
        before = cursor(pilot)
        for metric in (Metric.CLAMPED, Metric.TOKEN_CLAMPED, Metric.SIGNED):
            await press(pilot, "m")
            assert session.metric is metric
            assert f"· {metric}" in picture(pilot)
            assert cursor(pilot) == before
            shown = the_app(pilot).opened.view.weights
            assert np.array_equal(shown, session.matrix.weights(metric))


async def test_s_orders_rows_as_in_the_conversation_then_otherwise_and_keeps_the_cursor() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        before = cursor(pilot)
        await press(pilot, "s")
        assert the_app(pilot).opened.view.row_order is RowOrder.CONVERSATION
        assert "memories in order" in picture(pilot)
        assert "topic0/memory-00" in heatmap(pilot).render_line(HEADER).text
        assert cursor(pilot) == before
        await press(pilot, *["s"] * (len(RowOrder) - 1))
        assert the_app(pilot).opened.view.row_order is RowOrder.WEIGHT
        assert cursor(pilot) == before


async def test_a_failed_row_says_why_and_r_tries_it_again() -> None:
    session = fake_session(conversation(4, 6))
    session.failing = {1: "the server answered 503"}
    async with running(session) as pilot:
        await press(pilot, "r")
        heatmap(pilot).move_to(1, 2)
        await drawn_through(pilot)
        assert "x r3: failed: the server answered 503" in picture(pilot)
        session.failing = {}
        await press(pilot, "r")
        assert session.matrix.count(CellState.FAILED) == 0


async def test_enter_opens_the_response_and_escape_comes_back_with_the_cursor() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        await press(pilot, "home", "right", "enter")
        assert isinstance(pilot.app.screen, ResponseScreen)
        await press(pilot, "n", "n", "down")
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, MatrixScreen)
        assert cursor(pilot)[1] == 3


async def test_a_question_mark_lists_every_key_of_the_screen() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    session.notes = ("While reading: line 3 was skipped [x].", "Two windows.")
    async with running(session, size=(120, 90)) as pilot:
        assert "line 3 was skipped [x]. (2 notes: ? shows all)" in picture(pilot)
        await press(pilot, "question_mark")
        drawn = picture(pilot)
        for says in (
            "The memory above",
            "Score what is missing",
            "Stop scoring",
            "Write the matrix",
            "not scored yet",
            "Two windows.",
        ):
            assert says in drawn
        await press(pilot, "escape")
        assert not isinstance(pilot.app.screen, HelpScreen)


@pytest.mark.parametrize(
    "owner", [MemscopeApp, MatrixScreen, ResponseScreen, HelpScreen, ExportScreen, Heatmap]
)
async def test_every_binding_has_an_id_and_a_tooltip(owner: type[DOMNode]) -> None:
    for binding in bindings_of(owner):
        assert binding.id
        assert binding.tooltip


async def test_e_asks_for_a_path_and_replaces_a_file_only_when_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr("memscope.export.export", lambda session, path: written.append(path))
    session = score_now(fake_session(conversation(4, 6, title="my [trip] / plan")))
    (tmp_path / "my-trip-plan.json").write_text("precious")
    async with running(session) as pilot:
        await press(pilot, "e")
        assert isinstance(pilot.app.screen, ExportScreen)
        assert pilot.app.screen.query_one(Input).value == "my-trip-plan.json"
        await press(pilot, "enter")
        assert written == []
        assert "exists already. Enter again replaces it." in picture(pilot)
        await press(pilot, "enter")
        assert written == [Path("my-trip-plan.json")]
        assert isinstance(pilot.app.screen, MatrixScreen)
        assert "wrote my-trip-plan.json" in picture(pilot)


async def test_export_to_a_folder_asks_for_a_file_in_it_and_offers_to_replace_nothing() -> None:
    async with running(score_now(fake_session())) as pilot:
        for folder in (".", "..", ""):
            await press(pilot, "e")
            pilot.app.screen.query_one(Input).value = folder
            await press(pilot, "enter")
            assert "is a folder: name a file in it." in picture(pilot)
            assert "replaces" not in picture(pilot)
            await press(pilot, "escape")


async def test_an_export_that_cannot_be_says_why_and_asks_again() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        await press(pilot, "e")
        pilot.app.screen.query_one(Input).value = "matrix.xls"
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ExportScreen)
        assert "matrix.xls: the ending must be one of" in picture(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, MatrixScreen)


async def test_a_model_that_cannot_be_opened_is_said_in_place_and_r_tries_again() -> None:
    session = fake_session(conversation(4, 6))
    session.problem = "The model can't be fetched: no network."
    async with running(session) as pilot:
        assert "The model can't be fetched: no network. Press r to try again." in picture(pilot)
        await strike(pilot, "down", "right")
        assert cursor(pilot) == (1, 1)
        session.problem = ""
        await press(pilot, "r")
        assert session.prepared == 2
        assert "Press r to try again" not in picture(pilot)
        assert "r scores 21 cells" in picture(pilot)


async def test_d_dismisses_a_failure() -> None:
    session = fake_session(conversation(4, 6))
    session.problem = "No network."
    async with running(session) as pilot:
        bar = pilot.app.screen.query_one(ActivityBar)
        assert bar.failures
        await press(pilot, "d")
        assert not bar.failures
        assert session.activities.snapshot() == ()


async def test_an_error_nobody_foresaw_is_one_sentence_and_the_screen_stays() -> None:
    session = fake_session(conversation(4, 6))
    session.failing = {1: "x"}
    session.logprobs.clear()
    async with running(session) as pilot:
        await strike(pilot, "r")
        await until(pilot, lambda: bool(the_app(pilot).opened.problem))
        assert "Something went wrong inside memscope: KeyError" in picture(pilot)
        await strike(pilot, "down")
        assert cursor(pilot) == (1, 0)


async def test_a_conversation_without_memories_says_what_one_is_and_how_to_mark_it() -> None:
    async with running(fake_session(conversation(0, 3))) as pilot:
        drawn = picture(pilot)
        assert "This conversation has no memories." in drawn
        assert '"memory_key": "city"' in drawn
        assert '<memory key="city">' in drawn
        assert "[[memory_rules]]" in drawn
        assert "Claude Code" in drawn
        await press(pilot, "down", "enter", "s", "r", "m", "e")
        assert isinstance(pilot.app.screen, MatrixScreen)


async def test_a_conversation_without_responses_says_so() -> None:
    async with running(fake_session(conversation(3, 0))) as pilot:
        assert "This conversation has no responses yet." in picture(pilot)


async def test_q_leaves_at_once_while_scoring_runs() -> None:
    session = fake_session(conversation(4, 6), open_gate=False)
    async with running(session) as pilot:
        await strike(pilot, "r")
        await until(pilot, lambda: session.matrix.count(CellState.RUNNING) > 0)
        await strike(pilot, "q")
    assert session.closed == 1
    assert session.matrix.count(CellState.RUNNING) == 0


async def test_without_colours_cells_carry_sign_and_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        drawn = "".join(heatmap(pilot).render_line(HEADER + row).text for row in range(4))
        assert "+" in drawn
        assert "-" in drawn
        assert "█" not in drawn
        assert "tenths of" in picture(pilot)


async def test_another_theme_redraws_the_heatmap() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        before = [segment.style for segment in heatmap(pilot).render_line(HEADER)]
        pilot.app.theme = "memscope-light"
        await drawn_through(pilot)
        assert [segment.style for segment in heatmap(pilot).render_line(HEADER)] != before


async def test_a_cursor_nobody_moved_waits_on_the_strongest_cell_of_the_top_row() -> None:
    session = score_now(fake_session(conversation(4, 6)))
    async with running(session) as pilot:
        view = the_app(pilot).opened.view
        memory, response = cursor(pilot)
        assert memory == view.order[0]
        row = abs(view.matrix.values(view.metric)[memory])
        assert row[response] == max(value for value in row if value == value)
