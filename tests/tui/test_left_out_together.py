"""Marked memories left out together: a row of their own in the matrix."""

import numpy as np
import pytest

from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session
from memscope.tui.widgets.heatmap_lines import HEADER
from tests.scorers_fake import TALK, HashScorer, conversation
from tests.tui.driving import cursor, heatmap, picture, press, running, settled, the_app
from tests.tui.test_commands import choose

pytestmark = pytest.mark.anyio


async def test_o_scores_the_marked_memories_left_out_together_in_a_row_on_top(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "g", "space", "space", "o")
        opened = the_app(pilot).opened
        matrix = opened.sets.matrix_of((0, 1))
        assert matrix is not None
        assert matrix.count(CellState.PENDING) == 0
        row = heatmap(pilot).render_line(HEADER).text
        assert row.startswith(">+")
        assert cursor(pilot)[0] == 2
        np.testing.assert_array_equal(opened.view.values[2], matrix.values(Metric.SIGNED)[0])
        await press(pilot, "end")
        assert "2 left out together (each alone, summed: " in picture(pilot)
        assert not opened.view.marked
    session.close()


async def test_o_waits_until_two_memories_are_marked(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        await press(pilot, "g", "space")
        assert not pilot.app.screen.check_action("leave_out", ())
        await press(pilot, "o")
        assert the_app(pilot).opened.view.sets == ()
    session.close()


async def test_space_on_such_a_row_lets_go_of_it(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        await press(pilot, "g", "space", "space", "o", "space")
        assert the_app(pilot).opened.view.sets == ()
        assert len(the_app(pilot).opened.view.order) == 2
        assert cursor(pilot)[0] < 2
    session.close()


async def test_enter_on_such_a_row_opens_the_response_with_one_of_its_memories(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "g", "space", "space", "o", "end", "enter", "escape")
        assert cursor(pilot) == (2, 2)
    session.close()


async def test_w_on_such_a_row_scores_the_set_again(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "g", "space", "space", "o")
        asked = len(scorer.requests)
        await press(pilot, "w")
        assert len(scorer.requests) > asked
        assert the_app(pilot).opened.view.row_state(2) is CellState.SCORED
    session.close()


async def test_y_on_such_a_row_copies_its_own_numbers_and_each_of_its_memories(
    scorer: HashScorer, told: list[str]
) -> None:
    session = Session(conversation(*TALK))
    async with running(session, score_at_once=True) as pilot:
        await press(pilot, "g", "space", "space", "o", "end", "y")
        view = the_app(pilot).opened.view
        copied = pilot.app.clipboard
        assert copied.startswith(f"home + diet x r3: {view.values[2, 2]:+.2f} nats, 2 left out together")
        assert copied.endswith(
            "\n\nNora lives in Bergen.\n\nNora lives near the quay.\n\nNora cannot eat peanuts.\n"
        )
        assert "Copied the cell with its response and memories" in told[-1]
        await press(pilot, "j", "y")
        assert pilot.app.clipboard.startswith(f"{view.keys[cursor(pilot)[0]]} x r3: ")
    session.close()


async def test_the_palette_copies_the_memories_of_such_a_row(scorer: HashScorer, told: list[str]) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        await press(pilot, "g", "space", "space", "o")
        await choose(pilot, "copy the memory")
        await settled(pilot)
        assert pilot.app.clipboard.startswith("Nora lives in Bergen.")
        assert pilot.app.clipboard.endswith("Nora cannot eat peanuts.")
        assert told[-1].startswith("Copied the memory home + diet: ")
    session.close()
