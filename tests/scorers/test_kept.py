"""Prompts that are kept: numbers as from a fresh scorer, within the budget, the least useful gone first."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.scorers.base import LogProbs, ScoreRequest, TokenIds
from memscope.scorers.embedded import scorer as module
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import Llama
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scorers.kept import _DEPTH, _STEP
from tests.scorers.embedded.tiny import random_ids, write_model

AMPLE = 1 << 30
POSITION = 2 * 2 * 2 * 16 * 4
"""Bytes of a position: keys and values, 2 layers, 2 heads of 16 floats."""
IDS = random_ids(600)
MEMORIES = ((40, 20), (90, 30), (150, 10))
"""Where each memory begins, and its length."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 50 tokens, so that some prompts take several and some share one."""
    monkeypatch.setattr(module, "_CHUNK", 50)
    monkeypatch.setattr(module, "default_threads", lambda: 1)
    monkeypatch.setattr(module, "Llama", lambda folder: Llama(folder, threads=1))


def scorer_with(model: Path, kv_budget: int) -> EmbeddedScorer:
    return EmbeddedScorer(ModelFolder(model), kv_budget=kv_budget)


def without(memory: int, length: int) -> TokenIds:
    start, tokens = MEMORIES[memory]
    return np.delete(IDS[:length], np.s_[start : start + tokens])


def baseline(length: int, scored: int = 10) -> ScoreRequest:
    return ScoreRequest(IDS[:length], (np.arange(length - scored, length),), keep=True, shared=length)


def ablation(memory: int, length: int, scored: int = 10) -> ScoreRequest:
    ids = without(memory, length)
    span = np.arange(len(ids) - scored, len(ids))
    return ScoreRequest(ids, (span,), shared=MEMORIES[memory][0], branch=True)


async def one(scorer: EmbeddedScorer, request: ScoreRequest) -> LogProbs:
    """The log-probabilities of a request's only span."""
    (score,) = [score async for score in scorer.score(request)]
    return score.logprobs


def ask(scorer: EmbeddedScorer, *requests: ScoreRequest) -> list[LogProbs]:
    """What `one` gives for each request, all asked for at the same time."""

    async def together() -> list[LogProbs]:
        return await asyncio.gather(*(one(scorer, request) for request in requests))

    return asyncio.run(together())


def computed_by(scorer: EmbeddedScorer, *requests: ScoreRequest) -> int:
    """Tokens that the requests, one after another, put through the model; their numbers are checked."""
    before, fresh = scorer.tokens_computed, EmbeddedScorer(scorer._folder, reuse=False)
    for request in requests:
        assert ask(scorer, request)[0] == pytest.approx(ask(fresh, request)[0], abs=5e-5)
    return scorer.tokens_computed - before


def turn(length: int) -> list[ScoreRequest]:
    """Everything that is asked for when a conversation has grown to this length."""
    return [baseline(length), *(ablation(memory, length) for memory in range(len(MEMORIES)))]


def test_a_grown_conversation_costs_its_new_tokens_for_each_ablation(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    first = 200 + sum(200 - start - tokens for start, tokens in MEMORIES)
    assert computed_by(scorer, *turn(200)) == first
    assert computed_by(scorer, *turn(230)) == 4 * 30
    assert computed_by(scorer, *turn(330)) == 4 * 100
    assert computed_by(scorer, *turn(345)) == 4 * 15


def test_with_a_budget_of_nothing_but_the_baseline_stays(model: Path) -> None:
    scorer = scorer_with(model, 0)
    computed_by(scorer, *turn(200))
    assert computed_by(scorer, *turn(230)) == 30 + sum(230 - start - tokens for start, tokens in MEMORIES)
    assert scorer.bytes_kept <= 320 * POSITION


def test_what_is_not_asked_to_be_kept_is_not(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    ids, span = without(0, 200), (np.arange(170, 180),)
    computed_by(scorer, baseline(200))
    assert computed_by(scorer, ScoreRequest(ids, span, shared=40)) == 140
    assert computed_by(scorer, ScoreRequest(ids, span, shared=40)) == 140


def test_an_edited_conversation_finds_what_comes_before_the_edit(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    computed_by(scorer, *turn(300))
    edited = IDS[:320].copy()
    edited[220] = (edited[220] + 1) % 120
    span = (np.arange(310, 320),)
    assert computed_by(scorer, ScoreRequest(edited, span, keep=True, shared=320)) == 100
    cut = np.delete(edited, np.s_[40:60])
    request = ScoreRequest(cut, (span[0] - 20,), shared=40, branch=True)
    assert computed_by(scorer, request) == 100
    assert computed_by(scorer, request) == 11, "the scored tokens and the one before"


def test_a_last_response_that_is_written_on_costs_only_what_changed(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    computed_by(scorer, *turn(300))
    held = scorer.bytes_kept
    for end in range(290, 299):
        written = np.concatenate([IDS[:end], random_ids(10, seed=end)])
        span = (np.arange(end + 5, end + 10),)
        assert computed_by(scorer, ScoreRequest(written, span, keep=True, shared=end + 10)) <= 11
    assert scorer.bytes_kept == held


def test_a_window_that_slides_keeps_its_beginning(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    computed_by(scorer, *turn(300))
    slid = np.concatenate([IDS[:30], IDS[100:330]])
    span = (np.arange(250, 260),)
    assert computed_by(scorer, ScoreRequest(slid, span, keep=True, shared=260)) == 230


def test_two_memories_that_say_the_same_are_one_branch(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    computed_by(scorer, baseline(200), ablation(0, 200))
    assert computed_by(scorer, ablation(0, 230), ablation(0, 230)) == 30 + 11


def test_branches_that_find_no_room_are_computed_and_those_in_use_stay(model: Path) -> None:
    scorer = scorer_with(model, 512 * POSITION)
    computed_by(scorer, *turn(200))
    kept = [scorer.tokens_kept(ablation(memory, 215)) for memory in range(3)]
    assert kept == [180, 90, 190], "the second one finds no room, and shares the baseline's prefix"
    assert computed_by(scorer, *turn(215)) == 15 + 15 + (215 - 120) + 15
    assert scorer.bytes_kept <= 512 * POSITION


def test_the_branch_that_was_not_used_for_longest_makes_room(model: Path) -> None:
    scorer = scorer_with(model, 512 * POSITION)
    computed_by(scorer, baseline(200), ablation(0, 200))
    for length in (205, 210):
        computed_by(scorer, baseline(length), ablation(1, length))
    assert scorer.tokens_kept(ablation(0, 225)) == 40
    assert scorer.tokens_kept(ablation(1, 225)) == 180


def test_a_baseline_that_grows_pushes_branches_out(model: Path) -> None:
    scorer = scorer_with(model, 512 * POSITION)
    computed_by(scorer, *turn(200))
    computed_by(scorer, baseline(450))
    assert scorer.bytes_kept <= 512 * POSITION
    assert scorer.tokens_kept(baseline(460)) == 449
    assert scorer.tokens_kept(ablation(0, 210)) == 40


def test_what_is_forgotten_is_computed_anew(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    first = computed_by(scorer, *turn(200))
    asyncio.run(scorer.forget())
    assert scorer.bytes_kept == 0
    assert computed_by(scorer, *turn(200)) == first


def test_a_baseline_that_is_to_share_nothing_is_computed_whole(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    computed_by(scorer, *turn(200))
    request = ScoreRequest(IDS[:200], (np.arange(190, 200),), keep=True, shared=0)
    assert computed_by(scorer, request) == 200
    assert computed_by(scorer, *turn(230)) == 4 * 30


def test_what_it_says_is_kept_need_not_be_computed(model: Path) -> None:
    scorer = scorer_with(model, AMPLE)
    computed_by(scorer, *turn(200))
    for request in (*turn(220), *turn(200), *turn(150)):
        expected = len(request.ids) - scorer.tokens_kept(request)
        assert computed_by(scorer, request) == expected


def test_short_requests_at_the_same_time_are_computed_as_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    forward = Llama.forward

    def counted(engine: Llama, stretches: object) -> object:
        batches.append(len(stretches))  # type: ignore[arg-type]
        return forward(engine, stretches)  # type: ignore[arg-type]

    scorer, fresh = scorer_with(model, AMPLE), EmbeddedScorer(ModelFolder(model), reuse=False)
    computed_by(scorer, *turn(200))
    monkeypatch.setattr(Llama, "forward", counted)
    before = scorer.tokens_computed
    found = ask(scorer, *turn(212))
    assert batches == [4]
    assert scorer.tokens_computed - before == 4 * 12
    for request, logprobs in zip(turn(212), found, strict=True):
        assert logprobs == pytest.approx(ask(fresh, request)[0], abs=5e-5)


def test_cancelling_one_of_several_leaves_the_others(model: Path) -> None:
    scorer, fresh = scorer_with(model, AMPLE), EmbeddedScorer(ModelFolder(model), reuse=False)
    computed_by(scorer, *turn(200))

    async def cancel_one() -> list[LogProbs]:
        left, *others = (asyncio.create_task(one(scorer, request)) for request in turn(212))
        await asyncio.sleep(0)
        left.cancel()
        found = await asyncio.gather(*others)
        with pytest.raises(asyncio.CancelledError):
            await left
        return found

    for request, logprobs in zip(turn(212)[1:], asyncio.run(cancel_one()), strict=True):
        assert logprobs == pytest.approx(ask(fresh, request)[0], abs=5e-5)
    assert computed_by(scorer, *turn(240)) <= 40 + 3 * 28


@st.composite
def groups(draw: st.DrawFn) -> list[list[ScoreRequest]]:
    """What may be asked for, and with what: baselines and ablations of a conversation that grows, shrinks,
    is edited and slides."""
    asked = []
    for _ in range(draw(st.integers(1, 6))):
        end, edit = draw(st.integers(160, 420)), draw(st.sampled_from([None, 20, 100, 155]))
        slides = draw(st.booleans()) and edit is None
        ids = IDS[:end].copy()
        if edit is not None:
            ids[edit] = (ids[edit] + 7) % 120
        if slides:
            ids = np.delete(ids, np.s_[10:35])
        group = []
        for _ in range(draw(st.integers(1, 4))):
            at, length = draw(st.integers(1, 140)), draw(st.integers(0, 15))
            cut = np.delete(ids, np.s_[at : at + length])
            begins = draw(st.integers(1, len(cut) - 2))
            span = np.arange(begins, draw(st.integers(begins + 1, len(cut))))
            group.append(
                ScoreRequest(
                    cut,
                    (span,),
                    keep=not length,
                    shared=at if length else len(cut),
                    branch=bool(length) and draw(st.booleans()),
                )
            )
        asked.append(group)
    return asked


@given(groups(), st.sampled_from([0, 200 * POSITION, 900 * POSITION, AMPLE]))
@settings(max_examples=60, deadline=None)
def test_whatever_is_kept_the_numbers_are_those_of_a_fresh_scorer(
    model: Path, asked: list[list[ScoreRequest]], budget: int
) -> None:
    scorer, fresh = scorer_with(model, budget), EmbeddedScorer(ModelFolder(model), reuse=False)
    longest = 0
    for group in asked:
        for request, logprobs in zip(group, ask(scorer, *group), strict=True):
            assert logprobs == pytest.approx(ask(fresh, request)[0], abs=5e-5)
            if request.keep:
                longest = max(longest, len(request.ids))
        # a baseline stays whatever it takes: with a margin to grow, and beginnings that it shares with others
        one_baseline = (longest + longest // 8 + 64 + _DEPTH * _STEP) * POSITION
        assert scorer.bytes_kept <= max(budget, one_baseline)
