"""The transformers scorer: right numbers, reuse that is exact, and behaviour when things go wrong."""

import asyncio
import json
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from memscope.errors import ModelError, ScorerError
from memscope.scorers.base import LogProbs, ScoreRequest, TokenIds
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import DEFAULT_MODEL, models_dir
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scorers.kept import Stretch
from memscope.scorers.local import LocalScorer
from memscope.scorers.transformers import TransformersScorer
from tests.scorers.embedded.tiny import Doubles, random_ids, write_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = random_ids(200)
CHUNK = 40
ABLATED = np.delete(IDS, np.s_[80:100])
COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 120,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LONG_ROPE = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [3.0] * 8}
SLIDING: dict[str, dict[str, Any]] = {
    "MistralConfig": {"sliding_window": 32},
    "Gemma2Config": {"sliding_window": 32, "query_pre_attn_scalar": 16},
    "Gemma3TextConfig": {"sliding_window": 32},
}
WHOLE: dict[str, dict[str, Any]] = {
    "Phi3Config": {"rope_scaling": LONG_ROPE, "original_max_position_embeddings": 100, "rope_theta": 10000.0},
    "MambaConfig": {},
}
"""Models that can't go on from a prefix: one turns its keys by the prompt's length, one is recurrent."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, model_type="llama")
    return folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 tokens are taken in chunks of `CHUNK`."""
    monkeypatch.setattr("memscope.scorers.torch_model._CHUNK_LIMITS", (CHUNK, CHUNK))


@pytest.fixture
def scorer(model: Path) -> TransformersScorer:
    return TransformersScorer(model, device="cpu")


async def scores(scorer: LocalScorer[Any], request: ScoreRequest) -> list[LogProbs]:
    """Log-probabilities by span."""
    found = {score.span: score.logprobs async for score in scorer.score(request)}
    return [found[span] for span in range(len(request.spans))]


def run(
    scorer: LocalScorer[Any], ids: TokenIds, *spans: range, keep: bool = False, shared: int | None = None
) -> list[LogProbs]:
    chosen = tuple(np.arange(span.start, span.stop) for span in spans)
    request = ScoreRequest(ids, chosen, keep, shared=len(ids) if shared is None else shared)
    return asyncio.run(scores(scorer, request))


def write_other(folder: Path, config: str) -> Path:
    """A tiny random model of another architecture."""
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(**COMMON | (SLIDING | WHOLE)[config]), dtype=torch.float32
    )
    with torch.no_grad():
        for weights in made.parameters():
            if weights.ndim == 2:
                weights.normal_(0, 1.2 / weights.shape[1] ** 0.5)
    made.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(120)}, "w0"))
    words.save(str(folder / "tokenizer.json"))
    return folder


def naive(folder: Path, ids: TokenIds) -> Doubles:
    """Log-probabilities of each token but the first, by one forward of the whole prompt."""
    made = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.inference_mode():
        logits = made(torch.from_numpy(ids.astype(np.int64))[None], use_cache=False).logits[0]
        logprobs: Doubles = torch.log_softmax(logits.double(), dim=-1).numpy()
    return logprobs[np.arange(len(ids) - 1), ids[1:]]


def test_the_numbers_are_those_of_the_embedded_scorer(scorer: TransformersScorer, model: Path) -> None:
    embedded = EmbeddedScorer(ModelFolder(model))
    for ids, keep in ((IDS, True), (ABLATED, False), (IDS[:170], True)):
        ours = run(scorer, ids, range(50, 60), range(130, 165), keep=keep)
        theirs = run(embedded, ids, range(50, 60), range(130, 165), keep=keep)
        assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
        assert ours[1] == pytest.approx(theirs[1], abs=1e-4)
    assert scorer.tokens_computed == embedded.tokens_computed
    assert scorer.context_length == embedded.context_length == 1024


@pytest.mark.skipif(
    not (models_dir() / DEFAULT_MODEL).is_dir(), reason="`memscope model pull` has not been run"
)
def test_a_real_model_gives_the_numbers_of_the_embedded_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memscope.scorers.torch_model._CHUNK_LIMITS", (128, 2048))
    folder = models_dir() / DEFAULT_MODEL
    embedded, scorer = EmbeddedScorer(ModelFolder(folder)), TransformersScorer(folder, device="cpu")
    text = "Nora is allergic to peanuts. She lives in Bergen and throws pots on Thursday evenings. " * 8
    ids = np.array(scorer.tokenizer.encode(text).ids, np.int32)
    for prompt, keep in ((ids, True), (np.delete(ids, np.s_[40:60]), False)):
        span = range(len(prompt) - 50, len(prompt))
        (ours,) = run(scorer, prompt, span, keep=keep)
        (theirs,) = run(embedded, prompt, span, keep=keep)
        assert ours == pytest.approx(theirs, abs=1e-3)
    assert scorer.tokens_computed == len(ids) + len(ids) - 60


def test_an_ablation_computes_only_the_tokens_after_the_shared_prefix(
    scorer: TransformersScorer, model: Path
) -> None:
    fresh = TransformersScorer(model, device="cpu", reuse=False)
    run(scorer, IDS, range(150, 200), keep=True)
    assert scorer.tokens_computed == 200
    for ablated, shared in ((ABLATED, 80), (np.delete(IDS, np.s_[120:125]), 120)):
        before = scorer.tokens_computed, fresh.tokens_computed
        (got,) = run(scorer, ablated, range(150, 180), shared=shared)
        assert got == pytest.approx(run(fresh, ablated, range(150, 180))[0], abs=1e-4)
        assert got == pytest.approx(naive(model, ablated)[149:179], abs=1e-4)
        assert scorer.tokens_computed - before[0] == len(ablated) - shared
        assert fresh.tokens_computed - before[1] == len(ablated)
    assert scorer.reuses_prefix
    assert not fresh.reuses_prefix


def test_the_kept_prompt_stays_whole_and_grows(scorer: TransformersScorer, model: Path) -> None:
    run(scorer, IDS[:160], range(150, 160), keep=True)
    run(scorer, np.delete(IDS[:160], np.s_[20:40]), range(130, 140))
    before = scorer.tokens_computed
    long = random_ids(700)
    long[:160] = IDS[:160]
    (grown,) = run(scorer, long, range(650, 700), keep=True)
    assert scorer.tokens_computed == before + 540
    assert grown == pytest.approx(naive(model, long)[649:], abs=1e-4)


def test_kept_ablations_go_on_from_where_they_ended(scorer: TransformersScorer, model: Path) -> None:
    ends = (160, 175, 200)
    cuts = ((20, 40), (90, 95), (0, 0))
    for before, end in zip((None, *ends), ends, strict=False):
        for start, stop in cuts[::-1]:
            ids = np.delete(IDS[:end], np.s_[start:stop])
            is_baseline = start == stop
            request = ScoreRequest(
                ids,
                (np.arange(len(ids) - 10, len(ids)),),
                keep=is_baseline,
                shared=len(ids) if is_baseline else start,
                branch=not is_baseline,
            )
            computed = scorer.tokens_computed
            (got,) = asyncio.run(scores(scorer, request))
            assert got == pytest.approx(naive(model, ids)[-10:], abs=1e-4)
            expected = len(ids) - request.shared * (not is_baseline) if before is None else end - before
            assert scorer.tokens_computed - computed == expected
    computed = scorer.tokens_computed
    assert scorer.batch_tokens == CHUNK
    requests = []
    for start, stop in cuts[:2]:
        ids = np.delete(random_ids(215), np.s_[start:stop])
        ids[: len(IDS) - stop + start] = np.delete(IDS, np.s_[start:stop])
        requests.append(ScoreRequest(ids, (np.arange(len(ids) - 10, len(ids)),), branch=True, shared=start))

    async def together() -> list[list[LogProbs]]:
        return await asyncio.gather(*(scores(scorer, request) for request in requests))

    for request, (got,) in zip(requests, asyncio.run(together()), strict=True):
        assert got == pytest.approx(naive(model, request.ids)[-10:], abs=1e-4)
    assert scorer.tokens_computed == computed + 2 * 15
    for kept in scorer._kept._prompts:
        held = [(room.before, room.keys, room.values) for room in kept.cache.rooms]
        assert held == [([], None, None)] * 2, "it would hold on to what others have dropped"
    fewest = EmbeddedScorer(ModelFolder(model))
    run(fewest, IDS, range(190, 200), keep=True)
    assert fewest._kept._position_bytes == scorer._kept._position_bytes


def test_a_span_is_yielded_as_soon_as_its_last_token_is_known(scorer: TransformersScorer) -> None:
    async def progress() -> list[tuple[int, int]]:
        request = ScoreRequest(IDS, (np.arange(50, 60), np.arange(150, 200)))
        return [(score.span, scorer.tokens_computed) async for score in scorer.score(request)]

    (first, after_first), (second, after_second) = asyncio.run(progress())
    assert (first, second) == (0, 1)
    assert 60 <= after_first < 60 + CHUNK
    assert after_second == 200


def test_cancelling_the_task_stops_and_keeps_what_is_done(scorer: TransformersScorer, model: Path) -> None:
    async def cancel_after_the_first_span() -> None:
        begun = asyncio.Event()

        async def consume() -> None:
            request = ScoreRequest(IDS, (np.arange(40, 50), np.arange(150, 200)), keep=True)
            async for _ in scorer.score(request):
                begun.set()

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_after_the_first_span())
    (got,) = run(scorer, IDS, range(150, 200), keep=True)
    assert got == pytest.approx(naive(model, IDS)[149:], abs=1e-4)
    assert scorer.tokens_computed <= 200 + CHUNK


def test_a_prompt_that_nobody_waits_for_ends_within_one_layer(scorer: TransformersScorer) -> None:
    run(scorer, IDS, range(150, 200))
    stretch = Stretch(IDS, 0, 200, scorer._torch.new_cache(0, 200))
    with pytest.raises(CancelledError):
        scorer._torch.logprobs([stretch], lambda: True)


@pytest.mark.parametrize(
    ("ids", "span", "told"),
    [
        (random_ids(1025), range(10, 20), "takes 1 to 1024"),
        (np.array([1, 2, 120], np.int32), range(1, 2), "does not know"),
        (random_ids(20), range(0, 5), "Positions 0 to 4"),
    ],
)
def test_a_prompt_that_can_not_be_scored_is_refused(
    scorer: TransformersScorer, ids: TokenIds, span: range, told: str
) -> None:
    with pytest.raises(ScorerError, match=told) as caught:
        run(scorer, ids, span)
    assert caught.value.final


def check_against_naive(scorer: TransformersScorer, folder: Path) -> None:
    """Score a baseline, two ablations, and a baseline that has grown."""
    prompts = [(IDS[:190], True), (ABLATED, False), (np.delete(IDS, np.s_[120:125]), False), (IDS, True)]
    for ids, keep in prompts:
        (got,) = run(scorer, ids, range(150, len(ids)), keep=keep, shared=80 if ids is ABLATED else 120)
        assert got == pytest.approx(naive(folder, ids)[149:], abs=1e-4)


@pytest.mark.parametrize("config", SLIDING)
def test_a_model_with_a_sliding_window_reuses_the_prefix_too(config: str, tmp_path: Path) -> None:
    folder = write_other(tmp_path / config, config)
    scorer = TransformersScorer(folder, device="cpu")
    check_against_naive(scorer, folder)
    assert scorer.tokens_computed == 190 + (180 - 80) + (195 - 120) + (200 - 120)


@pytest.mark.parametrize("config", WHOLE)
def test_a_model_that_can_not_go_on_from_a_prefix_is_scored_without_reuse(
    config: str, tmp_path: Path
) -> None:
    folder = write_other(tmp_path / config, config)
    scorer = TransformersScorer(folder, device="cpu")
    check_against_naive(scorer, folder)
    assert scorer.tokens_computed == 190 + 180 + 195 + 200
    assert not scorer.reuses_prefix
    assert "Every prompt is computed from its first token" in scorer.notes[0]


def test_attention_without_masks_is_left_where_it_fails_or_differs(
    model: Path, scorer: TransformersScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_numbers(*_: Any, **__: Any) -> tuple[Any, Any]:
        return torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 16)

    check_against_naive(scorer, model)
    assert scorer._torch._model.config._attn_implementation == "memscope"
    for kernel in (None, other_numbers):
        monkeypatch.setattr("memscope.scorers.torch_attention.kernel", lambda kernel=kernel: kernel)
        other = TransformersScorer(model, device="cpu")
        check_against_naive(other, model)
        assert other._torch._model.config._attn_implementation == "sdpa"
        assert other.tokens_computed == scorer.tokens_computed


def test_only_float32_on_a_processor_is_exact(model: Path, scorer: TransformersScorer) -> None:
    short = TransformersScorer(model, device="cpu", dtype="bfloat16")
    assert scorer.exact
    assert not scorer.notes
    assert not short.exact
    assert scorer.fingerprint != short.fingerprint
    assert scorer.fingerprint == TransformersScorer(model, device="cpu", reuse=False).fingerprint
    (exactly,) = run(scorer, IDS, range(150, 200))
    (roughly,) = run(short, IDS, range(150, 200))
    assert roughly.dtype == np.float32
    assert 1e-4 < np.abs(exactly - roughly).max() < 0.5


def test_the_fingerprint_follows_the_weights_and_not_the_folder(model: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "same", model_type="llama")
    write_model(tmp_path / "other", seed=1, model_type="llama")
    prints = [TransformersScorer(f, device="cpu").fingerprint for f in (model, tmp_path / "same")]
    assert prints[0] == prints[1] != TransformersScorer(tmp_path / "other", device="cpu").fingerprint


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    write_model(tmp_path, model_type="llama")
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-400:] = np.full(100, np.nan, np.float32).tobytes()
    weights.write_bytes(content)
    with pytest.raises(ScorerError, match="not finite"):
        run(TransformersScorer(tmp_path, device="cpu"), IDS, range(150, 200))


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9")]
)
def test_a_prompt_too_large_for_memory_is_an_error_and_the_next_one_works(
    scorer: TransformersScorer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def no_room(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("memscope.scorers.torch_cache.Room._allocated", no_room)
        with pytest.raises(ScorerError, match="not enough memory"):
            run(scorer, IDS, range(150, 200), keep=True)
    assert len(run(scorer, IDS, range(150, 200), keep=True)[0]) == 50


def test_weights_that_are_damaged_or_lack_a_tensor_are_an_error(model: Path, tmp_path: Path) -> None:
    write_model(tmp_path, model_type="llama", tie_word_embeddings=False)
    scorer = TransformersScorer(tmp_path, device="cpu")
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ScorerError, match=r"weights of .* can't be read: ") as caught:
        run(scorer, IDS, range(150, 200))
    assert caught.value.final
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    with pytest.raises(ScorerError, match=r"has no tensor `lm_head.weight`"):
        run(scorer, IDS, range(150, 200))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"device": "abacus"}, "can't use the device 'abacus'"),
        ({"dtype": "int8"}, "knows no dtype 'int8'"),
        ({"dtype": "quad"}, "knows no dtype 'quad'"),
    ],
)
def test_a_device_or_dtype_that_torch_does_not_know_is_refused(
    model: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        TransformersScorer(model, **changes)


def test_an_architecture_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, model_type="abacus")
    with pytest.raises(ModelError, match="can't make a model of"):
        TransformersScorer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ModelError, match="can't make a model of"):
        TransformersScorer(tmp_path)


def test_a_name_is_looked_up_on_the_hub_and_in_its_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="somebody/tiny is no model folder here and can't be fetched"):
        TransformersScorer("somebody/tiny")
    with pytest.raises(ModelError, match="no model folder, no installed model and no name on the hub"):
        TransformersScorer("/no/such/folder")
    stored = tmp_path / "models--somebody--tiny"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("0" * 40)
    snapshot = stored / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (snapshot / name).symlink_to(model / name)
    with pytest.raises(ModelError):  # what another scorer has fetched is not enough
        TransformersScorer("somebody/tiny")
    (snapshot / "model.safetensors").symlink_to(model / "model.safetensors")
    found = TransformersScorer("somebody/tiny", device="cpu")
    assert found.model == "somebody/tiny"
    assert len(run(found, IDS, range(150, 200))[0]) == 50
