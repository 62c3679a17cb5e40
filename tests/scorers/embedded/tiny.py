"""Tiny random Llama models on disk, and a plain float64 forward to compare with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

Doubles = NDArray[np.float64]
Ids = NDArray[np.int32]

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 120,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}


def random_weights(config: dict[str, Any], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Every tensor of a model of this configuration, drawn so that activations stay near 1."""
    generator = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim", width // config["num_attention_heads"])
    queries = config["num_attention_heads"] * head_dim
    keys = config["num_key_value_heads"] * head_dim

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return generator.normal(0, 1.5 / np.sqrt(columns), (rows, columns)).astype(np.float32)

    def vector(size: int) -> NDArray[np.float32]:
        return generator.uniform(0.5, 1.5, size).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], width)}
    weights["model.norm.weight"] = vector(width)
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = matrix(config["vocab_size"], width)
    shapes = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        weights[prefix + "input_layernorm.weight"] = vector(width)
        weights[prefix + "post_attention_layernorm.weight"] = vector(width)
        for name, shape in shapes.items():
            weights[f"{prefix}{name}.weight"] = matrix(*shape)
            if config.get("attention_bias" if "attn" in name else "mlp_bias"):
                weights[f"{prefix}{name}.bias"] = vector(shape[0]) - 1
    return weights


def write_model(folder: Path, seed: int = 0, **changes: Any) -> dict[str, NDArray[np.float32]]:
    """Write a model folder with float32 weights, `changes` over CONFIG; the weights."""
    config = CONFIG | changes
    weights = random_weights(config, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    words = Tokenizer(
        models.WordLevel({f"w{number}": number for number in range(config["vocab_size"])}, "w0")
    )
    words.save(str(folder / "tokenizer.json"))
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    return weights


def write_as(folder: Path, weights: dict[str, NDArray[np.float32]], dtype: str) -> None:
    """Write the weights again as `float16` or `bfloat16`, and leave in `weights` what that rounds them to."""
    buffers: dict[str, NDArray[Any]] = {}
    for name, values in weights.items():
        if dtype == "float16":
            short: NDArray[Any] = values.astype(np.float16)
            weights[name] = short.astype(np.float32)
        else:
            short = (values.view(np.uint32) >> 16).astype(np.uint16)
            weights[name] = (short.astype(np.uint32) << 16).view(np.float32)
        buffers[name] = short
    stored = {
        name: safetensors.TensorSpec(
            dtype=dtype, shape=short.shape, data_ptr=short.ctypes.data, data_len=short.nbytes
        )
        for name, short in buffers.items()
    }
    safetensors.serialize_file(stored, folder / "model.safetensors")


def random_ids(length: int, vocabulary: int = 120, seed: int = 1) -> Ids:
    return np.random.default_rng(seed).integers(0, vocabulary, length).astype(np.int32)


def reference_logprobs(
    config: dict[str, Any],
    weights: dict[str, NDArray[np.float32]],
    ids: Ids,
    frequencies: Doubles | None = None,
) -> Doubles:
    """Log-probabilities [T], in nats, of each token after those before it; NaN for the first."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}
    width, heads, kv_heads = (
        config[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads")
    )
    head_dim = config.get("head_dim", width // heads)
    if frequencies is None:
        frequencies = config["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
    angles = np.arange(len(ids))[:, None] * np.concatenate([frequencies, frequencies])
    later = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)

    def linear(x: Doubles, name: str) -> Doubles:
        product: Doubles = x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)
        return product

    def norm(x: Doubles, name: str) -> Doubles:
        normal: Doubles = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * w[name]
        return normal

    def rotate(x: Doubles) -> Doubles:
        first, second = np.split(x, 2, axis=-1)
        rotated: Doubles = x * np.cos(angles) + np.concatenate([-second, first], -1) * np.sin(angles)
        return rotated

    x = w["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        normal = norm(x, prefix + "input_layernorm.weight")
        q, k, v = (linear(normal, f"{prefix}self_attn.{name}_proj") for name in "qkv")
        mixed = []
        for head in range(heads):
            shared = head // (heads // kv_heads)
            query = rotate(q[:, head * head_dim : (head + 1) * head_dim])
            key = rotate(k[:, shared * head_dim : (shared + 1) * head_dim])
            scores = query @ key.T / np.sqrt(head_dim) + later
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            mixed.append(scores @ v[:, shared * head_dim : (shared + 1) * head_dim])
        x = x + linear(np.concatenate(mixed, -1), prefix + "self_attn.o_proj")
        normal = norm(x, prefix + "post_attention_layernorm.weight")
        gate, up = linear(normal, prefix + "mlp.gate_proj"), linear(normal, prefix + "mlp.up_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * up, prefix + "mlp.down_proj")
    output = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    logits = norm(x, "model.norm.weight") @ w[output].T
    logprobs = np.full(len(ids), np.nan)
    shifted = logits - logits.max(-1, keepdims=True)
    everything = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    logprobs[1:] = everything[np.arange(len(ids) - 1), ids[1:]]
    return logprobs
