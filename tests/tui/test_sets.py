"""Sets of memories scored beside the matrix: real sessions with a scorer that needs no model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from memscope.conversation.follow import Follower
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.modes import score_training
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.sets import EVERY, Sets
from tests.scorers_fake import TALK, HashScorer, conversation, failing
from tests.tui.driving import drawn_through, picture, press, running, settled, strike, the_app, until
from tests.tui.fake import conversation as made_up
from tests.tui.fake import fake_session
from tests.tui.test_following import MORE, lines

pytestmark = pytest.mark.anyio

BOTH = (0, 1)


def sets_of(pilot: Pilot[None]) -> Sets:
    return the_app(pilot).opened.sets


def states(sets: Sets, members: tuple[int, ...] = BOTH) -> list[CellState]:
    matrix = sets.matrix_of(members)
    assert matrix is not None
    return [CellState(state) for state in matrix.states[0].tolist()]


async def test_a_set_has_the_numbers_that_leaving_its_memories_out_at_once_has(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        sets = sets_of(pilot)
        assert sets.matrix_of(BOTH) is None
        sets.score(BOTH)
        await settled(pilot)
        matrix = sets.matrix_of(BOTH)
        assert matrix is not None
        assert matrix.shape == (1, 3)
        training = await score_training(session, last=len(session.conversation.entries))
        expected = {candidate.response: candidate.divergence for candidate in training.candidates}
        assert dict(enumerate(matrix.values(Metric.SIGNED)[0].tolist())) == expected
    session.close()


async def test_what_the_store_knows_is_recalled_without_the_model(scorer: HashScorer) -> None:
    first = Session(conversation(*TALK))
    async with running(first) as pilot:
        sets_of(pilot).score(BOTH)
        await settled(pilot)
    first.close()
    asked = len(scorer.requests)
    second = Session(conversation(*TALK))
    async with running(second) as pilot:
        sets_of(pilot).recall(BOTH)
        await settled(pilot)
        assert states(sets_of(pilot)) == [CellState.SCORED] * 3
    assert len(scorer.requests) == asked
    second.close()


async def test_recalling_what_nobody_scored_leaves_it_pending(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        sets_of(pilot).recall(BOTH)
        await settled(pilot)
        assert states(sets_of(pilot)) == [CellState.PENDING] * 3
        assert scorer.requests == []
    session.close()


async def test_a_set_asked_for_too_early_waits_until_the_model_is_open() -> None:
    session = fake_session()
    session.model.clear()
    app = MemscopeApp(session.as_session)
    async with app.run_test() as pilot:
        sets = sets_of(pilot)
        sets.score(BOTH)
        await drawn_through(pilot)
        assert sets.is_scoring(BOTH)
        assert CellState.SCORED not in states(sets)
        session.model.set()
        await until(pilot, lambda: not sets.scoring)
        assert CellState.SCORED in states(sets)
        assert session.prepared == 1


async def test_a_model_that_did_not_open_is_opened_again_for_a_set() -> None:
    session = fake_session()
    session.problem = "No model here."
    async with running(session) as pilot:
        session.problem = ""
        sets_of(pilot).score(BOTH)
        await settled(pilot)
        assert CellState.SCORED in states(sets_of(pilot))
        assert session.prepared == 2


async def test_without_a_model_nothing_waits_for_it() -> None:
    session = fake_session()
    session.problem = "No model here."
    async with running(session) as pilot:
        sets_of(pilot).score(BOTH)
        await settled(pilot)
        assert not sets_of(pilot).scoring
        assert "No model here." in picture(pilot)
        assert CellState.SCORED not in states(sets_of(pilot))


async def test_stop_ends_the_matrix_and_the_sets_and_keeps_them_pending() -> None:
    session = fake_session(open_gate=False)
    async with running(session) as pilot:
        sets = sets_of(pilot)
        await strike(pilot, "r")
        sets.score(BOTH)
        the_app(pilot).show_state()
        await until(pilot, lambda: CellState.RUNNING in states(sets) and session.runs == [False])
        assert the_app(pilot).opened.busy
        await until(pilot, lambda: "x Stop" in picture(pilot))
        await strike(pilot, "x")
        await until(pilot, lambda: not the_app(pilot).opened.scoring and session.closed == 1)
        assert CellState.RUNNING not in states(sets)
        assert CellState.PENDING in states(sets)
        await until(pilot, lambda: "x Stop" not in picture(pilot))
        session.gate.set()
        sets.score(BOTH)
        await until(pilot, lambda: not sets.scoring)
        assert CellState.PENDING not in states(sets)


async def test_stop_works_while_only_a_set_is_scored() -> None:
    session = fake_session(open_gate=False)
    async with running(session) as pilot:
        sets_of(pilot).score(BOTH)
        the_app(pilot).show_state()
        await until(pilot, lambda: "x Stop" in picture(pilot))
        await strike(pilot, "x")
        await until(pilot, lambda: "x Stop" not in picture(pilot))


async def test_a_set_that_fails_says_why(scorer: HashScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memscope.scoring.asking._ATTEMPTS", 1)
    scorer.answer = failing(2, reason="the server said [/no]")
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        sets_of(pilot).score(BOTH)
        await settled(pilot)
        matrix = sets_of(pilot).matrix_of(BOTH)
        assert matrix is not None
        assert CellState.FAILED in states(sets_of(pilot))
        assert matrix.errors[0] == "the server said [/no]"
        assert np.isnan(matrix.values(Metric.SIGNED)[matrix.states == CellState.FAILED]).all()
        assert "1 of 1 ablations failed: the server said [/no]" in picture(pilot)
        scorer.answer = None
        sets_of(pilot).score(BOTH)
        await settled(pilot)
        assert states(sets_of(pilot)) == [CellState.SCORED] * 3
    session.close()


async def test_a_problem_with_the_plan_is_said_in_place(
    scorer: HashScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        scorer.context_length = 3
        sets_of(pilot).score(BOTH)
        await settled(pilot)
        assert "the model's context holds 3" in picture(pilot)
        assert not sets_of(pilot).scoring
    session.close()


async def test_a_set_let_go_of_is_not_there_any_more() -> None:
    session = fake_session(made_up(), open_gate=False)
    async with running(session) as pilot:
        sets = sets_of(pilot)
        sets.score(BOTH)
        await until(pilot, lambda: CellState.RUNNING in states(sets))
        sets.forget(BOTH)
        await settled(pilot)
        assert sets.matrix_of(BOTH) is None
        assert not sets.scoring


@asynccontextmanager
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Pilot[None], Path, Sets]]:
    """The app on a file that may grow, with both memories scored as a set."""
    log = tmp_path / "log.jsonl"
    log.write_text(lines(TALK))
    follower = Follower(str(log))
    session = Session(follower.open())
    app = MemscopeApp(session, follower)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.opened.work.ready and not app.opened.work.busy)
        app.opened.sets.score(BOTH)
        await until(pilot, lambda: not app.opened.sets.scoring)
        yield pilot, log, app.opened.sets
        app.opened.close()
    session.close()


async def test_as_the_conversation_grows_a_set_keeps_its_numbers_and_the_new_response_is_pending(
    scorer: HashScorer, tmp_path: Path
) -> None:
    async with followed(tmp_path) as (pilot, log, sets):
        before = sets.matrix_of(BOTH)
        assert before is not None
        known = before.values(Metric.SIGNED)[0].tolist()
        asked = len(scorer.requests)
        with log.open("a") as file:
            file.write(lines(MORE))
        await until(pilot, lambda: len(states(sets)) == 4)
        assert states(sets) == [*[CellState.SCORED] * 3, CellState.PENDING]
        await until(pilot, lambda: the_app(pilot).opened.session.is_planned)
        await until(pilot, lambda: len(states(sets)) == 4)
        await settled_but_following(pilot)
        now = sets.matrix_of(BOTH)
        assert now is not None
        assert now.values(Metric.SIGNED)[0, :3].tolist() == known
        assert states(sets) == [*[CellState.SCORED] * 3, CellState.PENDING]
        assert len(scorer.requests) == asked
        sets.score(BOTH)
        await until(pilot, lambda: not sets.scoring)
        assert states(sets) == [CellState.SCORED] * 4


async def test_a_set_whose_memories_are_gone_goes_with_them(scorer: HashScorer, tmp_path: Path) -> None:
    async with followed(tmp_path) as (pilot, log, sets):
        log.write_text(lines((("system", "Another."), *TALK[2:4])))
        await until(pilot, lambda: sets.matrix_of(BOTH) is None)


async def settled_but_following(pilot: Pilot[None]) -> None:
    """Wait for all work but that of looking at the file."""
    work = [worker for worker in pilot.app.workers if worker.group != "following"]
    await asyncio.gather(*(worker.wait() for worker in work))
    await drawn_through(pilot)


async def test_pressing_keys_elsewhere_does_not_disturb_a_set() -> None:
    session = fake_session(open_gate=False)
    async with running(session) as pilot:
        sets = sets_of(pilot)
        sets.score(BOTH)
        await strike(pilot, "down", "m", "s", "enter")
        session.gate.set()
        await until(pilot, lambda: not sets.scoring)
        assert CellState.SCORED in states(sets)
        await press(pilot, "escape")


async def test_a_set_of_every_memory_grows_with_the_conversation(scorer: HashScorer, tmp_path: Path) -> None:
    async with followed(tmp_path) as (pilot, log, sets):
        sets.recall(EVERY)
        sets.score(EVERY)
        await until(pilot, lambda: not sets.scoring)
        alike = sets.matrix_of(BOTH), sets.matrix_of(EVERY)
        assert alike[0] is not None
        assert alike[1] is not None
        assert alike[0].values(Metric.SIGNED).tolist() == alike[1].values(Metric.SIGNED).tolist()
        with log.open("a") as file:
            file.write(lines(MORE))
        await until(pilot, lambda: len(states(sets, EVERY)) == 4)
        assert states(sets, EVERY) == [*[CellState.SCORED] * 3, CellState.PENDING]
        await until(pilot, lambda: the_app(pilot).opened.session.is_planned)
        sets.score(EVERY)
        sets.score(BOTH)
        await until(pilot, lambda: not sets.scoring)
        alike = sets.matrix_of(BOTH), sets.matrix_of(EVERY)
        assert alike[0] is not None
        assert alike[1] is not None
        values = [matrix.values(Metric.SIGNED)[0].tolist() for matrix in alike if matrix is not None]
        assert values[0][:3] == values[1][:3]
        assert values[0][3] != values[1][3]  # a new memory stands before it


async def test_what_scoring_a_set_costs_is_known_once_it_is_planned(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        sets = sets_of(pilot)
        assert sets.tokens_missing(BOTH) is None
        sets.recall(BOTH)
        await settled(pilot)
        cost = sets.tokens_missing(BOTH)
        assert cost
        sets.score(BOTH)
        await settled(pilot)
        assert scorer.tokens_computed == cost
        assert sets.tokens_missing(BOTH) == 0
    session.close()
