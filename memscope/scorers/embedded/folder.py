"""Opens a model folder in the Hugging Face layout: configuration, weights, fingerprint."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from memscope.errors import ModelError
from memscope.scorers.files import fingerprint, read_json, weight_files

Weights = NDArray[np.float32]

_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_HEADER_LIMIT = 100_000_000
"""The longest header the safetensors format allows, in bytes."""

_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]


class _ConfigFile(msgspec.Struct):
    """The fields of config.json that decide a Llama model's numbers, with the defaults of `transformers`."""

    hidden_size: _Count
    intermediate_size: _Count
    num_hidden_layers: _Count
    num_attention_heads: _Count
    vocab_size: _Count
    num_key_value_heads: _Count | None = None
    head_dim: _Count | None = None
    max_position_embeddings: _Count = 2048
    rms_norm_eps: Annotated[float, msgspec.Meta(ge=0)] = 1e-6
    hidden_act: str = "silu"
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_theta: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    quantization_config: dict[str, Any] | None = None


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a Llama model; `inverse_frequencies` [head_dim / 2] in radians a position."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context_length: int
    epsilon: float
    tied: bool
    attention_bias: bool
    mlp_bias: bool
    inverse_frequencies: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies in its file."""

    file: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]


class ModelFolder:
    """A complete Llama model on disk: everything about it is checked here, the weights are read later."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError if the folder does not hold a Llama model that the engine can run."""
        if not path.is_dir():
            raise ModelError(f"{path} is not a folder; give a model folder with config.json inside.")
        self.path = path
        self.config = _read_config(path / "config.json")
        if not (path / "tokenizer.json").is_file():
            raise ModelError(f"{path} has no tokenizer.json; give a complete model folder.")
        self._tensors = _read_tensors(path)
        self._check_tensors()

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return self.path.resolve().name

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over configuration, tokenizer and weights, wherever the folder lies.

        Reads every file once. Raises ModelError if one can't be read.
        """
        files = {self.path / "config.json", self.path / "tokenizer.json"}
        files.update(tensor.file for tensor in self._tensors.values())
        return fingerprint("memscope embedded 1", files)

    def read(self, name: str) -> Weights:
        """A tensor in float32, mapped from its file where that is float32 already. Raises ModelError."""
        tensor = self._tensors[name]
        stored = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor.dtype]
        try:
            values = np.asarray(np.memmap(tensor.file, stored, "r", tensor.offset, tensor.shape))
        except (OSError, ValueError) as error:
            raise ModelError(f"{tensor.file} can't be read: {error}; fetch the model again.") from error
        if tensor.dtype == "BF16":  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False)

    def _check_tensors(self) -> None:
        for name, shape in _expected_shapes(self.config):
            tensor = self._tensors.get(name)
            if tensor is None:
                raise ModelError(f"{self.path} has no tensor `{name}`; fetch the complete model again.")
            if tensor.dtype not in _ITEM_BYTES:
                raise ModelError(
                    f"{tensor.file}: tensor `{name}` is stored as {tensor.dtype}; only float32, float16 and"
                    " bfloat16 can be read, so give a model that is not quantised."
                )
            if tensor.shape != shape:
                raise ModelError(
                    f"{tensor.file}: tensor `{name}` has shape {list(tensor.shape)} where config.json needs"
                    f" {list(shape)}; the two do not belong together."
                )


def _expected_shapes(config: LlamaConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor a model of this configuration has."""
    width, inner = config.hidden, config.intermediate
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    yield "model.embed_tokens.weight", (config.vocabulary, width)
    yield "model.norm.weight", (width,)
    if not config.tied:
        yield "lm_head.weight", (config.vocabulary, width)
    matrices = [
        ("self_attn.q_proj", queries, width, config.attention_bias),
        ("self_attn.k_proj", keys, width, config.attention_bias),
        ("self_attn.v_proj", keys, width, config.attention_bias),
        ("self_attn.o_proj", width, queries, config.attention_bias),
        ("mlp.gate_proj", inner, width, config.mlp_bias),
        ("mlp.up_proj", inner, width, config.mlp_bias),
        ("mlp.down_proj", width, inner, config.mlp_bias),
    ]
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (width,)
        yield prefix + "post_attention_layernorm.weight", (width,)
        for name, rows, columns, biased in matrices:
            yield f"{prefix}{name}.weight", (rows, columns)
            if biased:
                yield f"{prefix}{name}.bias", (rows,)


def _read_config(path: Path) -> LlamaConfig:
    raw = read_json(path)
    architectures = raw.get("architectures")
    if architectures != ["LlamaForCausalLM"]:
        named = ", ".join(map(str, architectures)) if isinstance(architectures, list) else "none"
        raise ModelError(
            f"{path} names the architecture {named}; the embedded engine runs LlamaForCausalLM only, so use"
            " another scorer for this model."
        )
    try:
        config = msgspec.convert(raw, _ConfigFile)
    except msgspec.ValidationError as error:
        raise ModelError(f"{path} is not a valid Llama configuration: {error}.") from error
    if config.quantization_config is not None:
        raise ModelError(
            f"{path} describes quantised weights; give the model in float32, float16 or bfloat16."
        )
    if config.hidden_act != "silu":
        raise ModelError(f"{path}: hidden_act is {config.hidden_act!r}; the embedded engine knows silu only.")
    heads = config.num_attention_heads
    kv_heads = config.num_key_value_heads or heads
    head_dim = config.head_dim or config.hidden_size // heads
    if heads % kv_heads or head_dim % 2:
        raise ModelError(
            f"{path}: {heads} attention heads of {head_dim} over {kv_heads} key/value heads can't be divided."
        )
    return LlamaConfig(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=config.vocab_size,
        context_length=config.max_position_embeddings,
        epsilon=config.rms_norm_eps,
        tied=config.tie_word_embeddings,
        attention_bias=config.attention_bias,
        mlp_bias=config.mlp_bias,
        inverse_frequencies=_inverse_frequencies(config, head_dim, path),
    )


def _inverse_frequencies(config: _ConfigFile, head_dim: int, path: Path) -> NDArray[np.float32]:
    """Rotary frequencies [head_dim / 2], from `rope_theta` and `rope_scaling` or from `rope_parameters`."""
    rope = {**(config.rope_scaling or {}), **(config.rope_parameters or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "linear", "llama3") or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ModelError(
            f"{path}: rotary scaling {kind!r} is not one that the embedded engine knows (default, linear,"
            " llama3); use another scorer for this model."
        )

    def number(name: str, default: float | None = None) -> float:
        value = rope.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
            raise ModelError(f"{path}: rotary scaling needs a positive number `{name}`.")
        return float(value)

    theta = number("rope_theta", 10000.0 if config.rope_theta is None else config.rope_theta)
    inverse = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    if kind == "linear":
        inverse /= number("factor")
    elif kind == "llama3":
        low, high = number("low_freq_factor"), number("high_freq_factor")
        turns = (
            number("original_max_position_embeddings", config.max_position_embeddings) * inverse / math.tau
        )
        smooth = np.clip((turns - low) / (high - low), 0.0, 1.0) if high != low else (turns >= high) * 1.0
        inverse = (1 - smooth) * inverse / number("factor") + smooth * inverse
    return inverse.astype(np.float32)


def _read_tensors(folder: Path) -> dict[str, _Tensor]:
    """Every tensor of the folder's safetensors file or shards, by name."""
    return {name: tensor for file in weight_files(folder) for name, tensor in _read_header(file).items()}


def _read_header(path: Path) -> dict[str, _Tensor]:
    """Where the tensors of one safetensors file lie.

    Read here, because the library's numpy face copies every tensor and refuses bfloat16. Format:
    8 bytes header length, JSON header, data; offsets count from the data's start.
    """
    damaged = f"{path} is damaged or not a safetensors file; fetch the model again."
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
            if length > min(size - 8, _HEADER_LIMIT):
                raise ModelError(damaged)
            header = msgspec.json.decode(file.read(length), type=dict[str, dict[str, Any]])
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise ModelError(damaged) from error
    header.pop("__metadata__", None)
    start = 8 + length
    tensors = {}
    for name, entry in header.items():
        try:
            found = msgspec.convert(entry, _HeaderEntry)
        except msgspec.ValidationError as error:
            raise ModelError(damaged) from error
        begin, end = found.data_offsets
        if start + end > size:
            raise ModelError(
                f"{path} is cut off: tensor `{name}` ends at byte {start + end} of {size}; fetch it again."
            )
        if found.dtype in _ITEM_BYTES and end - begin != math.prod(found.shape) * _ITEM_BYTES[found.dtype]:
            raise ModelError(damaged)
        tensors[name] = _Tensor(path, start + begin, found.dtype, found.shape)
    return tensors


class _HeaderEntry(msgspec.Struct):
    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data_offsets: tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=0)]]
