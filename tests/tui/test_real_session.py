"""The screens over a real session, with a scorer that needs no model."""

import json
from pathlib import Path

import numpy as np
import pytest
from textual.widgets import Input

from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session
from memscope.tui.screens.response import ResponseScreen
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.token_text import TokenText
from tests.scorers_fake import TALK, HashScorer, conversation, failing
from tests.tui.driving import heatmap, picture, press, running, settled

pytestmark = pytest.mark.anyio


def talk_session() -> Session:
    return Session(conversation(*TALK))


async def test_a_conversation_is_priced_scored_opened_and_exported(
    scorer: HashScorer, tmp_path: Path
) -> None:
    session = talk_session()
    async with running(session) as pilot:
        assert session.plan is not None
        assert f"r scores 5 cells: {session.plan.cost.tokens_needed:,} tokens" in picture(pilot)
        await press(pilot, "r")
        assert session.matrix.count(CellState.SCORED) == 5
        assert scorer.tokens_computed == session.plan.cost.tokens_needed
        heatmap(pilot).move_to(1, 1)
        await settled(pilot)
        value = session.matrix.values(Metric.SIGNED)[1, 1]
        assert f"diet x r2: {value:+.2f} nats, " in picture(pilot)

        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ResponseScreen)
        tokens = await session.token_view(1, 1)
        assert tokens is not None
        assert tokens.without is not None
        strongest = int(np.abs(tokens.with_all - tokens.without).argmax())
        assert f"“{tokens.tokens[strongest]}” " in pilot.app.screen.query_one("#token", Line).text
        assert "Skip the satay sauce." in pilot.app.screen.query_one(TokenText).render_line(0).text

        await press(pilot, "e")
        pilot.app.screen.query_one(Input).value = str(tmp_path / "out.json")
        await press(pilot, "enter")
        written = json.loads((tmp_path / "out.json").read_text())
        assert written["schema"] == "memscope.matrix/1"
        assert written["matrix"][1][1] == pytest.approx(value)
    session.close()


async def test_a_second_look_finds_everything_in_the_store(scorer: HashScorer) -> None:
    first = talk_session()
    async with running(first, score_at_once=True) as pilot:
        await settled(pilot)
    first.close()
    asked = len(scorer.requests)
    second = talk_session()
    async with running(second, score_at_once=True) as pilot:
        assert "all cells scored" in picture(pilot)
        assert np.array_equal(second.matrix.states, first.matrix.states)
    assert len(scorer.requests) == asked
    second.close()


async def test_a_row_that_fails_stays_apart_and_says_why(
    scorer: HashScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memscope.scoring.asking._ATTEMPTS", 1)
    scorer.answer = failing(2, reason="the server said [/no]")
    session = talk_session()
    async with running(session, score_at_once=True) as pilot:
        await settled(pilot)
        failed = next(iter(session.matrix.errors))
        heatmap(pilot).move_to(failed, 2)
        await settled(pilot)
        drawn = picture(pilot)
        assert "failed: the server said [/no]" in drawn
        assert "✗ scoring" in drawn
        await press(pilot, "d")
        assert "✗ scoring" not in picture(pilot)
    session.close()
