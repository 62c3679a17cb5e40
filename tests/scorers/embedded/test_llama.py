"""The engine against a plain float64 forward."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama
from memscope.scorers.kept import Stretch
from tests.scorers.embedded.tiny import CONFIG, random_ids, reference_logprobs, write_as, write_model


def engine_logprobs(
    engine: Llama, ids: NDArray[np.int32], edges: list[int] | None = None
) -> NDArray[np.float32]:
    """Log-probabilities of ids[1:], computed in chunks that end at `edges`."""
    cache = KeyValues(engine.config, 0, len(ids))
    bounds = sorted({0, len(ids), *(edges or [])})
    hidden = [engine.forward([Stretch(ids, a, b, cache)]) for a, b in itertools.pairwise(bounds)]
    return engine.logprobs(np.concatenate(hidden)[:-1], ids[1:])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return Llama(ModelFolder(folder), threads=2)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="tied embeddings"),
        pytest.param({"tie_word_embeddings": False}, id="its own output matrix"),
        pytest.param({"attention_bias": True}, id="attention biases"),
        pytest.param({"mlp_bias": True}, id="feed-forward biases"),
        pytest.param({"head_dim": 24}, id="a head size of its own"),
        pytest.param({"num_key_value_heads": 4}, id="no grouping"),
        pytest.param({"num_key_value_heads": 1}, id="one key/value head"),
        pytest.param({"rope_theta": 500000}, id="another rotary base"),
        pytest.param({"vocab_size": 2500}, id="a vocabulary of several blocks"),
    ],
)
def test_it_agrees_with_a_plain_forward(tmp_path: Path, changes: dict[str, Any]) -> None:
    weights = write_model(tmp_path, **changes)
    ids = random_ids(150, changes.get("vocab_size", 120))
    expected = reference_logprobs(CONFIG | changes, weights, ids)
    assert engine_logprobs(Llama(ModelFolder(tmp_path)), ids) == pytest.approx(expected[1:], abs=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_reads_weights_of_half_precision(tmp_path: Path, dtype: str) -> None:
    weights = write_model(tmp_path)
    write_as(tmp_path, weights, dtype)
    expected = reference_logprobs(CONFIG, weights, random_ids(40))
    assert engine_logprobs(Llama(ModelFolder(tmp_path)), random_ids(40)) == pytest.approx(
        expected[1:], abs=1e-4
    )


def test_rope_parameters_mean_the_same_as_rope_theta(tmp_path: Path) -> None:
    weights = write_model(
        tmp_path, rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 777.0}
    )
    expected = reference_logprobs(CONFIG | {"rope_theta": 777.0}, weights, random_ids(40))
    assert engine_logprobs(Llama(ModelFolder(tmp_path)), random_ids(40)) == pytest.approx(
        expected[1:], abs=1e-4
    )


def test_linear_rope_scaling_divides_positions(tmp_path: Path) -> None:
    weights = write_model(tmp_path, rope_scaling={"type": "linear", "factor": 4.0})
    frequencies = 10000.0 ** -(np.arange(0, 16, 2) / 16) / 4
    expected = reference_logprobs(CONFIG, weights, random_ids(40), frequencies)
    assert engine_logprobs(Llama(ModelFolder(tmp_path)), random_ids(40)) == pytest.approx(
        expected[1:], abs=1e-4
    )


def test_llama3_rope_scaling_slows_only_long_waves(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    weights = write_model(tmp_path, rope_scaling=scaling)
    frequencies = 10000.0 ** -(np.arange(0, 16, 2) / 16)
    for i, frequency in enumerate(frequencies):  # as the Llama 3 release has it
        wavelength = 2 * math.pi / frequency
        if wavelength > 64 / 1.0:
            frequencies[i] = frequency / 8
        elif wavelength > 64 / 4.0:
            smooth = (64 / wavelength - 1.0) / (4.0 - 1.0)
            frequencies[i] = (1 - smooth) * frequency / 8 + smooth * frequency
    expected = reference_logprobs(CONFIG, weights, random_ids(40), frequencies)
    assert engine_logprobs(Llama(ModelFolder(tmp_path)), random_ids(40)) == pytest.approx(
        expected[1:], abs=1e-4
    )


@given(st.lists(st.integers(1, 299), max_size=4))
@settings(max_examples=15, deadline=None)
def test_chunks_give_what_one_go_gives(engine: Llama, edges: list[int]) -> None:
    ids = random_ids(300)
    assert engine_logprobs(engine, ids, edges) == pytest.approx(engine_logprobs(engine, ids), abs=2e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(tmp_path: Path, threads: int) -> None:
    weights = write_model(tmp_path)
    ids = random_ids(600)
    expected = reference_logprobs(CONFIG, weights, ids)
    got = engine_logprobs(Llama(ModelFolder(tmp_path), threads), ids)
    assert got == pytest.approx(expected[1:], abs=1e-4)


def test_equal_prompts_give_equal_numbers(engine: Llama) -> None:
    ids = random_ids(300)
    assert np.array_equal(engine_logprobs(engine, ids), engine_logprobs(engine, ids))


def test_an_error_in_one_thread_is_raised_and_leaves_the_engine_usable(engine: Llama) -> None:
    ids = random_ids(300)
    cache = KeyValues(engine.config, 0, 200)
    with pytest.raises(ValueError, match="broadcast"):
        engine.forward([Stretch(ids, 0, 300, cache)])
    assert np.isfinite(engine_logprobs(engine, ids)).all()


@pytest.mark.parametrize("sign", [1, -1], ids=["far above", "far below"])
def test_attention_scores_beyond_the_range_of_exp_do_no_harm(tmp_path: Path, sign: int) -> None:
    weights = write_model(tmp_path, num_key_value_heads=4)
    for layer in range(2):  # each token's score of itself is then +-200 times the square of its query
        prefix = f"model.layers.{layer}.self_attn."
        weights[prefix + "k_proj.weight"] = sign * 200 * weights[prefix + "q_proj.weight"]
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    ids = random_ids(150)
    expected = reference_logprobs(CONFIG | {"num_key_value_heads": 4}, weights, ids)
    got = engine_logprobs(Llama(ModelFolder(tmp_path)), ids, [1])
    assert got == pytest.approx(expected[1:], abs=5e-3)
