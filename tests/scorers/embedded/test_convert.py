"""Conversion of a GGUF file to an ordinary model folder."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from tokenizers import Tokenizer

from memscope.activity import Activities, ActivityState
from memscope.errors import ModelError
from memscope.scorers.embedded.convert import convert
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama
from memscope.scorers.kept import Stretch
from memscope.scorers.tokenizer import FolderTokenizer
from tests.scorers.embedded.gguf_file import GGUF_CONFIG, TOKENS, write_gguf
from tests.scorers.embedded.tiny import random_ids, reference_logprobs


def converted(source: Path, folder: Path, activities: Activities | None = None) -> Path:
    folder.mkdir()
    convert(source, folder, activities or Activities(), lambda: None)
    return folder


def refusal(source: Path, folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        converted(source, folder)
    return str(caught.value)


def test_every_tensor_comes_back_under_its_name_and_in_its_order(tmp_path: Path) -> None:
    weights = write_gguf(tmp_path / "tiny.gguf")
    folder = converted(tmp_path / "tiny.gguf", tmp_path / "model")
    got = safetensors.numpy.load_file(folder / "model.safetensors")
    assert got.keys() == weights.keys()
    for name, values in weights.items():
        assert np.array_equal(got[name], values), name


def test_the_converted_model_scores_like_the_original_weights(tmp_path: Path) -> None:
    weights = write_gguf(tmp_path / "tiny.gguf")
    engine = Llama(ModelFolder(converted(tmp_path / "tiny.gguf", tmp_path / "model")))
    ids = random_ids(50, len(TOKENS))
    hidden = engine.forward([Stretch(ids, 0, 50, KeyValues(engine.config, 0, 50))])
    plain = reference_logprobs(GGUF_CONFIG, weights, ids)
    assert engine.logprobs(hidden[:-1], ids[1:]) == pytest.approx(plain[1:], abs=1e-4)


def test_quantised_tensors_are_stored_in_float32(tmp_path: Path) -> None:
    weights = write_gguf(tmp_path / "tiny.gguf", quantise=True)
    folder = converted(tmp_path / "tiny.gguf", tmp_path / "model")
    got = safetensors.numpy.load_file(folder / "model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight"
    assert got[name].dtype == np.float32
    assert got[name] == pytest.approx(weights[name], abs=0.01)


def test_the_configuration_is_what_the_file_says(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    config = json.loads((converted(tmp_path / "tiny.gguf", tmp_path / "model") / "config.json").read_text())
    assert {name: config[name] for name in GGUF_CONFIG} == GGUF_CONFIG
    assert (config["model_type"], config["bos_token_id"], config["eos_token_id"]) == ("llama", 1, 2)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<|im_start|>a", ["<|im_start|>", "a"]),
        ("hello a", ["he", "l", "lo", "Ġa"]),
        ("12", ["1", "2"]),
        ("<|im_ end|>", ["<", "|", "i", "m", "_", "Ġ", "e", "n", "d", "|", ">"]),
    ],
    ids=["special tokens stay whole", "bytes merge", "digits never merge", "anything else is text"],
)
def test_the_tokenizer_splits_as_the_model_was_trained(tmp_path: Path, text: str, tokens: list[str]) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    folder = converted(tmp_path / "tiny.gguf", tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode(text)
    assert encoding.tokens == tokens
    assert encoding.ids == [TOKENS.index(token) for token in tokens]
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == text


def test_the_chat_template_comes_along(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    tokenizer = FolderTokenizer(converted(tmp_path / "tiny.gguf", tmp_path / "model"))
    assert (
        tokenizer.render([{"role": "user", "content": "one "}, {"role": "user", "content": "two"}])
        == "one two"
    )


def test_progress_counts_the_bytes_written(tmp_path: Path) -> None:
    weights = write_gguf(tmp_path / "tiny.gguf")
    activities = Activities()
    converted(tmp_path / "tiny.gguf", tmp_path / "model", activities)
    (activity,) = activities.snapshot()
    size = sum(values.nbytes for values in weights.values())
    assert (activity.state, activity.done, activity.total) == (ActivityState.COMPLETE, size, size)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", architecture="qwen3")
    assert "'qwen3'" in refusal(tmp_path / "tiny.gguf", tmp_path / "model")


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", pre="llama-bpe")
    assert "'llama-bpe'" in refusal(tmp_path / "tiny.gguf", tmp_path / "model")


def test_a_tensor_that_llama_does_not_have_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", extra="blk.0.ffn_gate_inp.weight")
    assert "`blk.0.ffn_gate_inp.weight`" in refusal(tmp_path / "tiny.gguf", tmp_path / "model")


@pytest.mark.parametrize("size", [0, 3, 100, 5000])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    os.truncate(tmp_path / "tiny.gguf", size)
    assert "tiny.gguf" in refusal(tmp_path / "tiny.gguf", tmp_path / "model")
