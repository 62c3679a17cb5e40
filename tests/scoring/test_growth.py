"""A conversation that grows while it is open: what is known stays, what is new waits to be scored."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from memscope.conversation.model import Conversation
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session
from tests.scorers_fake import TALK, HashScorer, conversation, prepared, scored

GROWN = (*TALK, ("job", "Nora builds boats."), ("user", "And work?"), ("assistant", "You build boats, Nora."))


async def score(session: Session) -> None:
    async for _ in session.score():
        pass


def states(session: Session) -> list[list[str]]:
    return [[CellState(state).name[0] for state in row] for row in session.matrix.states]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Scored to its end, and still open."""
    session = prepared(conversation(*TALK), tmp_path)
    asyncio.run(score(session))
    return session


def test_what_was_scored_stays_and_new_responses_are_pending(session: Session) -> None:
    before = session.matrix
    session.adopt(conversation(*GROWN))
    assert states(session) == [list("SSSP"), list("ISSP"), list("IIIP")]
    values = session.matrix.values(Metric.SIGNED)
    assert (values[:2, 1:3] == before.values(Metric.SIGNED)[:, 1:]).all()
    assert np.isnan(values[:, 3]).all()
    assert session.matrix.baseline[:3].tolist() == before.baseline.tolist()
    assert not session.is_planned


def test_once_prepared_again_only_what_is_new_is_scored(session: Session, tmp_path: Path) -> None:
    scorer = session.scorer
    assert isinstance(scorer, HashScorer)
    session.adopt(conversation(*GROWN))
    asyncio.run(session.prepare())
    assert session.is_planned
    asked = len(scorer.requests)
    asyncio.run(score(session))
    assert all(len(request.spans) == 1 for request in scorer.requests[asked:])
    whole = scored(conversation(*GROWN), tmp_path / "elsewhere")
    assert np.array_equal(
        session.matrix.values(Metric.SIGNED), whole.matrix.values(Metric.SIGNED), equal_nan=True
    )


def test_a_score_goes_on_while_the_conversation_grows(tmp_path: Path) -> None:
    session = prepared(conversation(*TALK), tmp_path)

    async def grow_meanwhile() -> None:
        changes = session.score()
        await anext(changes)
        session.adopt(conversation(*GROWN))
        async for change in changes:
            assert max(change.rows) < 2
        assert states(session) == [list("SSSP"), list("ISSP"), list("IIIP")]

    asyncio.run(grow_meanwhile())
    whole = scored(conversation(*TALK), tmp_path / "elsewhere").matrix.values(Metric.SIGNED)
    assert np.array_equal(session.matrix.values(Metric.SIGNED)[:2, :3], whole, equal_nan=True)


def test_a_conversation_that_grows_while_it_is_planned_keeps_what_the_store_knows(tmp_path: Path) -> None:
    scored(conversation(*TALK), tmp_path)
    session = prepared(conversation(*TALK[:4]), tmp_path)

    async def grow_meanwhile() -> None:
        session.adopt(conversation(*TALK))
        planning = asyncio.ensure_future(session.prepare())
        await asyncio.sleep(0)
        session.adopt(conversation(*GROWN))
        await planning

    asyncio.run(grow_meanwhile())
    assert states(session) == [list("SSSP"), list("ISSP"), list("IIIP")]
    assert not session.is_planned


@pytest.mark.parametrize("at", [3, 4, 8])
def test_from_the_first_entry_that_has_changed_on_nothing_is_known(session: Session, at: int) -> None:
    changed = (*GROWN[:at], ("user", "Something else."), *GROWN[at + 1 :])
    session.adopt(conversation(*changed))
    entries = np.array(session.matrix.responses)
    known = ~np.isnan(session.matrix.baseline)
    assert (known == (entries < at)).all()
    assert not (session.matrix.states[:, entries >= at] == CellState.SCORED).any()


def test_what_changes_nothing_keeps_matrix_and_plan(session: Session) -> None:
    before = session.matrix
    talk = conversation(*TALK, title="another title")
    session.adopt(talk)
    assert session.matrix is before
    assert session.is_planned
    assert session.conversation is talk


def test_tokens_of_a_response_that_is_not_planned_are_not_known(session: Session) -> None:
    session.adopt(conversation(*GROWN))

    async def views() -> tuple[object, object]:
        return await session.token_view(3, 0), await session.token_view(2, 1)

    new, old = asyncio.run(views())
    assert new is None
    assert old is not None


def test_before_anything_is_prepared_it_just_grows() -> None:
    session = Session(conversation(*TALK[:4]))
    session.adopt(conversation(*GROWN))
    assert isinstance(session.conversation, Conversation)
    assert states(session) == [list("PPPP"), list("IPPP"), list("IIIP")]
