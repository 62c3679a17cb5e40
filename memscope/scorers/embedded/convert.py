"""Converts a Llama-architecture GGUF file to a model folder in the Hugging Face layout, in float32."""

import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from memscope.activity import Activities, Activity
from memscope.errors import ModelError

Weights = NDArray[np.float32]

_OUTSIDE_LAYERS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


def convert(source: Path, folder: Path, activities: Activities, proceed: Callable[[], None]) -> None:
    """Write config, tokenizer and weights of the GGUF file `source` into the existing `folder`.

    `proceed` is called before each tensor and stops the conversion by raising. Raises ModelError if the file
    is damaged or not a Llama model with a SmolLM tokenizer, OSError if the folder can't be written.
    """
    with activities.track(f"Converting {source.stem}", unit="bytes") as activity:
        _convert(source, folder, activity, proceed)


def _convert(source: Path, folder: Path, activity: Activity, proceed: Callable[[], None]) -> None:
    try:
        reader = gguf.GGUFReader(source)
    except Exception as error:  # the library raises whatever its parsing ran into
        raise ModelError(f"{source.name} is not a GGUF file that can be read: {error}.") from error
    fields = _Fields(reader, source.name)
    config = _config(fields, tied="output.weight" not in {tensor.name for tensor in reader.tensors})
    tokenizer = _tokenizer(fields)
    names = [_hugging_face_name(tensor.name, source.name) for tensor in reader.tensors]
    shapes = [tuple(int(size) for size in reversed(tensor.shape)) for tensor in reader.tensors]

    def weights() -> Iterator[Weights]:
        for name, shape, tensor in zip(names, shapes, reader.tensors, strict=True):
            proceed()
            values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
            values = values.reshape(shape)
            if name.endswith("q_proj.weight"):
                values = _half_split_rows(values, config["num_attention_heads"])
            elif name.endswith("k_proj.weight"):
                values = _half_split_rows(values, config["num_key_value_heads"])
            yield values

    _write_text(folder / "config.json", json.dumps(config, indent=2))
    _write_text(folder / "tokenizer.json", tokenizer.to_str())
    _write_text(folder / "tokenizer_config.json", json.dumps(_tokenizer_config(fields, config), indent=2))
    activity.update(total=sum(4 * math.prod(shape) for shape in shapes))
    _write_safetensors(folder / "model.safetensors", names, shapes, weights(), activity.advance)


class _Fields:
    """The metadata of a GGUF file; a missing field is one clear error."""

    def __init__(self, reader: gguf.GGUFReader, file: str) -> None:
        self._reader = reader
        self._file = file

    def get(self, name: str, default: Any = None) -> Any:
        field = self._reader.get_field(name)
        return default if field is None else field.contents()

    def __getitem__(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise ModelError(f"{self._file} has no field `{name}`; it can't be converted.")
        return value

    def expect(self, name: str, expected: str) -> None:
        value = self[name]
        if value != expected:
            raise ModelError(f"{self._file}: {name} is {value!r}; only {expected!r} can be converted.")


def _config(fields: _Fields, *, tied: bool) -> dict[str, Any]:
    fields.expect("general.architecture", "llama")
    heads = fields["llama.attention.head_count"]
    width = fields["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields.get("llama.attention.head_count_kv", heads),
        "head_dim": fields.get("llama.rope.dimension_count", width // heads),
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": _shortest(fields["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": _shortest(fields.get("llama.rope.freq_base", 10000.0)),
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
        "torch_dtype": "float32",
    }


def _shortest(value: float) -> float:
    """The shortest number that is the same float32: 1e-05 rather than 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _tokenizer(fields: _Fields) -> Tokenizer:
    """GPT-2 byte-level BPE after a split of digits, which is what `pre = smollm` stands for."""
    fields.expect("tokenizer.ggml.model", "gpt2")
    fields.expect("tokenizer.ggml.pre", "smollm")
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def _tokenizer_config(fields: _Fields, config: dict[str, Any]) -> dict[str, Any]:
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config["max_position_embeddings"],
        "clean_up_tokenization_spaces": False,
    }
    for name, field in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = fields.get(f"tokenizer.ggml.{field}_token_id")
        if number is not None:
            settings[f"{name}_token"] = tokens[number]
    template = fields.get("tokenizer.chat_template")
    if template is not None:
        settings["chat_template"] = template
    return settings


def _hugging_face_name(name: str, file: str) -> str:
    if name in _OUTSIDE_LAYERS:
        return _OUTSIDE_LAYERS[name]
    prefix, _, rest = name.partition(".")
    layer, _, inner = rest.partition(".")
    if prefix != "blk" or inner not in _IN_LAYER:
        raise ModelError(f"{file} holds a tensor `{name}` that a plain Llama model does not have.")
    return f"model.layers.{layer}.{_IN_LAYER[inner]}"


def _half_split_rows(weights: Weights, heads: int) -> Weights:
    """Undo llama.cpp's row order [rotated pairs], back to [first halves, second halves] in each head."""
    pairs = weights.reshape(heads, -1, 2, weights.shape[-1])
    return pairs.swapaxes(1, 2).reshape(weights.shape)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        _to_disk(file)


def _write_safetensors(
    path: Path,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    weights: Iterator[Weights],
    written: Callable[[float], None],
) -> None:
    """Write tensors one after another, where the library wants them all in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in zip(names, shapes, strict=True):
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for values in weights:
            file.write(np.ascontiguousarray(values, dtype="<f4").data)
            written(values.nbytes)
        _to_disk(file)


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
