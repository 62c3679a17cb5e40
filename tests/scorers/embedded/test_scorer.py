"""The embedded scorer: right numbers, reuse that is exact, and behaviour when things go wrong."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.errors import ScorerError
from memscope.scorers.base import LogProbs, ScoreRequest, TokenIds
from memscope.scorers.embedded import scorer as module
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama
from memscope.scorers.embedded.scorer import EmbeddedScorer
from tests.scorers.embedded.tiny import CONFIG, Doubles, random_ids, reference_logprobs, write_model

IDS = random_ids(200)
CHUNK = 40
SPANS = (np.arange(50, 60), np.arange(150, 200))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture
def scorer(model: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedScorer:
    """A scorer that takes 200 tokens in chunks of `CHUNK`."""
    monkeypatch.setattr(module, "_CHUNK", CHUNK)
    monkeypatch.setattr(module, "Llama", lambda folder: Llama(folder, threads=1))
    return EmbeddedScorer(ModelFolder(model))


async def scores(scorer: EmbeddedScorer, request: ScoreRequest) -> list[LogProbs]:
    """Log-probabilities by span."""
    found = {score.span: score.logprobs async for score in scorer.score(request)}
    return [found[span] for span in range(len(request.spans))]


def run(scorer: EmbeddedScorer, ids: TokenIds, *spans: range, keep: bool = False) -> list[LogProbs]:
    chosen = tuple(np.arange(span.start, span.stop) for span in spans)
    return asyncio.run(scores(scorer, ScoreRequest(ids, chosen, keep, shared=len(ids))))


def expected(model: Path, ids: TokenIds) -> Doubles:
    """What a plain forward gives for every token."""
    folder = ModelFolder(model)
    names = folder._tensors
    return reference_logprobs(CONFIG, {name: folder.read(name) for name in names}, ids)


def test_every_span_gets_the_log_probabilities_of_its_tokens(scorer: EmbeddedScorer, model: Path) -> None:
    first, second = run(scorer, IDS, range(50, 60), range(150, 200))
    plain = expected(model, IDS)
    assert first == pytest.approx(plain[50:60], abs=1e-4)
    assert second == pytest.approx(plain[150:200], abs=1e-4)


def test_spans_may_come_in_any_order_overlap_and_be_empty(scorer: EmbeddedScorer, model: Path) -> None:
    late, empty, early = run(scorer, IDS, range(100, 120), range(0), range(90, 110))
    plain = expected(model, IDS)
    assert late == pytest.approx(plain[100:120], abs=1e-4)
    assert early == pytest.approx(plain[90:110], abs=1e-4)
    assert len(empty) == 0


def test_a_span_is_yielded_as_soon_as_its_last_token_is_known(scorer: EmbeddedScorer) -> None:
    async def progress() -> list[tuple[int, int]]:
        request = ScoreRequest(IDS, SPANS)
        return [(score.span, scorer.tokens_computed) async for score in scorer.score(request)]

    (first, after_first), (second, after_second) = asyncio.run(progress())
    assert (first, second) == (0, 1)
    assert 60 <= after_first < 60 + CHUNK
    assert after_second == 200


def test_an_ablation_computes_only_the_tokens_after_the_shared_prefix(
    scorer: EmbeddedScorer, model: Path
) -> None:
    run(scorer, IDS, range(150, 200), keep=True)
    assert scorer.tokens_computed == 200
    ablated = np.delete(IDS, np.s_[80:100])
    (got,) = run(scorer, ablated, range(130, 180))
    assert scorer.tokens_computed == 200 + (200 - 80 - 20)
    assert got == pytest.approx(expected(model, ablated)[130:], abs=1e-4)


def test_no_more_than_the_shared_tokens_are_taken_from_the_kept_prompt(scorer: EmbeddedScorer) -> None:
    run(scorer, IDS, range(150, 200), keep=True)
    request = ScoreRequest(IDS, (np.arange(150, 200),), shared=70)
    asyncio.run(scores(scorer, request))
    assert scorer.tokens_computed == 200 + (200 - 70)


def test_ablations_leave_the_kept_baseline_whole(scorer: EmbeddedScorer, model: Path) -> None:
    run(scorer, IDS[:160], range(150, 160), keep=True)
    run(scorer, np.delete(IDS[:160], np.s_[20:40]), range(130, 140))
    run(scorer, np.delete(IDS[:160], np.s_[90:95]), range(145, 155))
    before = scorer.tokens_computed
    (grown,) = run(scorer, IDS, range(165, 200), keep=True)
    assert scorer.tokens_computed == before + 40
    assert grown == pytest.approx(expected(model, IDS)[165:], abs=1e-4)


def test_the_first_token_after_the_shared_prefix_can_be_scored(scorer: EmbeddedScorer, model: Path) -> None:
    run(scorer, IDS, range(150, 200), keep=True)
    changed = IDS.copy()
    changed[100] = (changed[100] + 1) % 120
    (got,) = run(scorer, changed, range(100, 120))
    assert got == pytest.approx(expected(model, changed)[100:120], abs=1e-4)
    assert scorer.tokens_computed == 200 + 101  # the token before it runs once more


def test_scoring_the_kept_prompt_again_gives_the_same_numbers(scorer: EmbeddedScorer) -> None:
    first = run(scorer, IDS, range(150, 200), keep=True)
    again = run(scorer, IDS, range(150, 200))
    assert again[0] == pytest.approx(first[0], abs=1e-5)
    assert scorer.tokens_computed == 200 + 51


def test_without_reuse_every_prompt_is_computed_whole(model: Path) -> None:
    scorer = EmbeddedScorer(ModelFolder(model), reuse=False)
    first = run(scorer, IDS, range(150, 200), keep=True)
    again = run(scorer, IDS, range(150, 200))
    assert scorer.tokens_computed == 400
    assert np.array_equal(first[0], again[0])


@given(
    st.lists(
        st.tuples(st.integers(1, 140), st.integers(1, 30), st.integers(60, 400), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=15, deadline=None)
def test_whatever_came_before_the_numbers_are_those_of_a_fresh_scorer(
    model: Path, edits: list[tuple[int, int, int, bool]]
) -> None:
    reusing = EmbeddedScorer(ModelFolder(model))
    fresh = EmbeddedScorer(ModelFolder(model), reuse=False)
    base = random_ids(400)
    for at, length, end, keep in edits:
        ids = np.delete(base[:end], np.s_[at : at + length])
        span = range(max(1, len(ids) // 2), len(ids))
        assert run(reusing, ids, span, keep=keep)[0] == pytest.approx(run(fresh, ids, span)[0], abs=5e-5)


def test_requests_at_the_same_time_do_not_disturb_each_other(scorer: EmbeddedScorer, model: Path) -> None:
    prompts = [random_ids(100, seed=seed) for seed in range(4)]
    span = (np.arange(50, 100),)

    async def together() -> list[list[LogProbs]]:
        requests = [
            ScoreRequest(ids, span, keep=number == 0, shared=100) for number, ids in enumerate(prompts)
        ]
        return await asyncio.gather(*(scores(scorer, request) for request in requests))

    for ids, (got,) in zip(prompts, asyncio.run(together()), strict=True):
        assert got == pytest.approx(expected(model, ids)[50:], abs=1e-4)


def test_closing_the_iterator_stops_within_one_chunk(scorer: EmbeddedScorer) -> None:
    async def first_span_only() -> int:
        iterator = scorer.score(ScoreRequest(IDS, (np.arange(5, 10), np.arange(150, 200))))
        await anext(iterator)
        await iterator.aclose()
        await asyncio.sleep(0.05)
        return scorer.tokens_computed

    assert asyncio.run(first_span_only()) <= CHUNK


def test_cancelling_the_task_stops_within_one_chunk_and_keeps_what_is_done(
    scorer: EmbeddedScorer, model: Path
) -> None:
    async def cancel_after_the_first_span() -> None:
        begun = asyncio.Event()

        async def consume() -> None:
            async for _ in scorer.score(
                ScoreRequest(IDS, (np.arange(40, 50), np.arange(150, 200)), keep=True)
            ):
                begun.set()

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_after_the_first_span())
    (got,) = run(scorer, IDS, range(150, 200), keep=True)
    assert got == pytest.approx(expected(model, IDS)[150:], abs=1e-4)
    assert scorer.tokens_computed <= 200 + CHUNK


@pytest.mark.parametrize(
    ("ids", "span", "told"),
    [
        (random_ids(1025), range(10, 20), "takes 1 to 1024"),
        (np.empty(0, np.int32), range(0), "takes 1 to 1024"),
        (np.array([1, 2, 120], np.int32), range(1, 2), "does not know"),
        (np.array([1, 2, -1], np.int32), range(1, 2), "does not know"),
        (random_ids(20), range(0, 5), "Positions 0 to 4"),
        (random_ids(20), range(15, 21), "Positions 15 to 20"),
    ],
)
def test_a_prompt_that_can_not_be_scored_is_refused(
    scorer: EmbeddedScorer, ids: TokenIds, span: range, told: str
) -> None:
    with pytest.raises(ScorerError, match=told):
        run(scorer, ids, span)


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    write_model(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-400:] = np.full(100, np.nan, np.float32).tobytes()
    weights.write_bytes(content)
    with pytest.raises(ScorerError, match="not finite"):
        run(EmbeddedScorer(ModelFolder(tmp_path)), IDS, range(150, 200))


def test_a_prompt_too_large_for_memory_is_an_error_and_the_next_one_works(
    scorer: EmbeddedScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(config: object, first: int, capacity: int) -> KeyValues:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "KeyValues", no_room)
        with pytest.raises(ScorerError, match="not enough memory"):
            run(scorer, IDS, range(150, 200), keep=True)
    assert len(run(scorer, IDS, range(150, 200), keep=True)[0]) == 50


def test_weights_that_vanish_before_the_first_request_are_an_error(tmp_path: Path) -> None:
    write_model(tmp_path)
    scorer = EmbeddedScorer(ModelFolder(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ScorerError, match=r"model\.safetensors can't be read"):
        run(scorer, IDS, range(150, 200))
