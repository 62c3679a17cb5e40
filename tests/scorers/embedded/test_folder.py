"""Opening model folders: good ones, and one clear sentence for each bad one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.errors import ModelError
from memscope.scorers.embedded.folder import ModelFolder
from tests.scorers.embedded.tiny import CONFIG, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "tiny")
    return tmp_path / "tiny"


def change_config(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        ModelFolder(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_it_knows_the_models_name_and_context_length(model: Path) -> None:
    folder = ModelFolder(model)
    assert (folder.name, folder.config.context_length) == ("tiny", 1024)


def test_shards_read_like_one_file(model: Path) -> None:
    whole = safetensors.numpy.load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(whole)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, members in shards.items():
        safetensors.numpy.save_file({name: whole[name] for name in members}, model / shard)
    index = {name: shard for shard, members in shards.items() for name in members}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    folder = ModelFolder(model)
    assert all(np.array_equal(folder.read(name), whole[name]) for name in names)


def test_the_fingerprint_does_not_depend_on_the_path(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "elsewhere")
    assert ModelFolder(model).fingerprint == ModelFolder(tmp_path / "elsewhere").fingerprint


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_one_changed_byte_changes_the_fingerprint(model: Path, name: str) -> None:
    before = ModelFolder(model).fingerprint
    content = bytearray((model / name).read_bytes())
    if name == "model.safetensors":
        content[-1] ^= 1
    else:
        content += b" "
    (model / name).write_bytes(content)
    assert ModelFolder(model).fingerprint != before


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    assert f"has no {name}" in refusal(model)


def test_a_missing_shard_is_named(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"x": "part-2.safetensors"}}')
    assert "has no part-2.safetensors" in refusal(model)


def test_an_index_that_leads_out_of_the_folder_is_refused(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../../secret"}}')
    assert "does not map tensors to files in its folder" in refusal(model)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"architectures": 5}', "[" * 100_000])
def test_a_configuration_that_is_no_json_object_is_refused(model: Path, text: str) -> None:
    (model / "config.json").write_text(text)
    assert str(model / "config.json") in refusal(model)


def test_another_architecture_is_named(model: Path) -> None:
    change_config(model, architectures=["Qwen3ForCausalLM"])
    assert "Qwen3ForCausalLM" in refusal(model)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": "64"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"num_key_value_heads": 3}, "can't be divided"),
        ({"head_dim": 15}, "can't be divided"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "'yarn'"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "'dynamic'"),
        ({"rope_scaling": {"type": "linear"}}, "`factor`"),
        ({"rope_scaling": {"type": "linear", "factor": 0}}, "`factor`"),
        ({"rope_parameters": {"rope_theta": "x"}}, "`rope_theta`"),
    ],
)
def test_a_configuration_the_engine_can_not_run_is_refused(
    model: Path, changes: dict[str, Any], told: str
) -> None:
    change_config(model, **changes)
    assert told in refusal(model)


def test_a_missing_tensor_is_named(model: Path) -> None:
    change_config(model, tie_word_embeddings=False)
    assert "no tensor `lm_head.weight`" in refusal(model)


def test_a_tensor_of_the_wrong_shape_is_named(model: Path) -> None:
    change_config(model, intermediate_size=95)
    assert "mlp.gate_proj.weight` has shape [96, 64] where config.json needs [95, 64]" in refusal(model)


def test_quantised_weights_are_refused(model: Path) -> None:
    weights: dict[str, Any] = safetensors.numpy.load_file(model / "model.safetensors")
    weights["model.norm.weight"] = np.zeros(64, np.int8)
    safetensors.numpy.save_file(weights, model / "model.safetensors")
    assert "`model.norm.weight` is stored as I8" in refusal(model)


def test_weights_that_are_cut_off_are_refused(model: Path) -> None:
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[:-1])
    assert "is cut off" in refusal(model)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_other_bytes_are_not_weights(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    (folder / "model.safetensors").write_bytes(content)
    refusal(folder)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [64], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "all", "data_offsets": [0, 4]},
        {"shape": [1]},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(model: Path, entry: dict[str, Any]) -> None:
    header = json.dumps({"model.norm.weight": entry}).encode()
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    assert "damaged" in refusal(model)
