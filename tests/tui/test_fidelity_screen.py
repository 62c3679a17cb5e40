"""How far the matrix can be trusted, asked for and told on the screen."""

import pytest

from memscope.scoring.session import Session
from memscope.tui.screens.fidelity import FidelityScreen
from memscope.tui.screens.matrix import MatrixScreen
from tests.scorers_fake import TALK, HashScorer, conversation, failing
from tests.tui.driving import picture, press, running, strike, the_app, until

pytestmark = pytest.mark.anyio


async def test_i_says_what_it_costs_and_enter_measures(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "i")
        await until(pilot, lambda: "Fidelity takes" in picture(pilot))
        await until(pilot, lambda: "⏎ measures" in picture(pilot))
        await press(pilot, "enter")
        assert the_app(pilot).opened.measurement.result is not None
        await until(pilot, lambda: "Fidelity in signed nats, by 32 random masks" in picture(pilot))
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, MatrixScreen)
        await press(pilot, "i")
        assert "by 32 random masks" in picture(pilot)
    session.close()


async def test_nothing_is_measured_before_anything_is_scored(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        await press(pilot, "i")
        assert isinstance(pilot.app.screen, MatrixScreen)
    session.close()


async def test_scoring_again_forgets_the_figures(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "i", "enter", "escape", "R")
        assert the_app(pilot).opened.measurement.result is None
    session.close()


async def test_x_stops_measuring_and_what_was_planned_can_be_measured_again(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "i")
        await strike(pilot, "enter")
        await until(pilot, lambda: "x stops; esc leaves" in picture(pilot))
        await strike(pilot, "x")
        await until(pilot, lambda: "⏎ measures; esc leaves" in picture(pilot))
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, FidelityScreen)
        assert the_app(pilot).opened.measurement.result is not None
    session.close()


async def test_ablations_that_fail_are_told_among_the_figures(
    scorer: HashScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        monkeypatch.setattr("memscope.scoring.asking._ATTEMPTS", 1)
        scorer.answer = failing(*range(100), reason="the server said [/no]")
        await press(pilot, "i", "enter")
        assert "the server said [/no]" in picture(pilot)
    session.close()
