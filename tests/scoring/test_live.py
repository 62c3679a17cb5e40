"""A conversation that grows while it is scored: what its new turns cost, and that the numbers stay right."""

import asyncio
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from memscope.conversation.model import Conversation
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.session import Session
from tests.scorers.embedded.tiny import write_model
from tests.scorers_fake import WordTokenizer, conversation, opening

MEMORIES = 5
TURNS = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, vocab_size=50_000)
    return folder


def talk(turns: int) -> Conversation:
    """Five memories in front, then turns with a question and an answer."""
    messages = [("system", "You plan trips.")]
    messages += [
        (f"m{number}", f"Fact number {number} is about town {number}.") for number in range(MEMORIES)
    ]
    for turn in range(turns):
        messages += [("user", f"What of town {turn}?"), ("assistant", f"Town {turn} is worth a day or two.")]
    return conversation(*messages)


def live(model: Path, cache: Path, kv_budget: int | None, *, reuse: bool = True) -> tuple[Session, list[int]]:
    """A session scored after each turn, and the tokens that each turn computed; estimates are checked."""
    scorer = EmbeddedScorer(ModelFolder(model), WordTokenizer(), kv_budget=kv_budget, reuse=reuse)
    computed = []

    async def follow() -> Session:
        session = Session(talk(1))
        for turn in range(1, TURNS + 1):
            session.adopt(talk(turn))
            await session.prepare()
            expected, before = session.tokens_missing(), scorer.tokens_computed
            async for _ in session.score():
                pass
            computed.append(scorer.tokens_computed - before)
            assert computed[-1] == expected
        return session

    with mock.patch.multiple(
        "memscope.scoring.session", open_scorer=opening(scorer), cache_dir=lambda: cache
    ):
        return asyncio.run(follow()), computed


def test_a_new_turn_costs_its_own_tokens_for_the_baseline_and_each_ablation(
    model: Path, tmp_path: Path
) -> None:
    session, computed = live(model, tmp_path / "kept", None)
    naive, whole = live(model, tmp_path / "naive", 0, reuse=False)
    assert session.plan is not None
    ends = [int(positions[-1]) + 1 for positions in session.plan.prompt.responses]
    new = np.diff(ends)
    assert computed[1:] == [(MEMORIES + 1) * int(tokens) for tokens in new]
    assert whole[-1] > 5 * computed[-1]
    assert np.allclose(session.matrix.values(session.metric), naive.matrix.values(naive.metric), atol=1e-3)


def test_without_a_budget_a_turn_costs_what_follows_each_memory(model: Path, tmp_path: Path) -> None:
    session, computed = live(model, tmp_path, 0)
    assert session.plan is not None
    new = int(np.diff([int(positions[-1]) for positions in session.plan.prompt.responses])[-1])
    total = len(session.plan.prompt.ids)
    rows = [a for a in session.plan.ablations if a.row is not None]
    assert computed[-1] == new + sum(total - a.shared - a.removed for a in rows)


def test_scoring_everything_again_computes_everything_again(model: Path, tmp_path: Path) -> None:
    session, _ = live(model, tmp_path, None)
    assert session.run is not None
    assert session.cost is not None
    run, before = session.run, session.run.tokens_computed

    async def again() -> None:
        async for _ in session.score(fresh=True):
            pass

    asyncio.run(again())
    assert run.tokens_computed - before == session.cost.tokens_needed
