"""Writes tiny GGUF files like that of the embedded model."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from memscope.scorers.embedded.convert import _IN_LAYER, _OUTSIDE_LAYERS
from tests.scorers.embedded.tiny import CONFIG, random_weights

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BYTES = [chr(code) for code in range(ord("!"), ord("~") + 1)]
MERGED = ["Ġa", "he", "lo", "12"]
TOKENS = [*SPECIAL, *BYTES, "Ġ", "Ċ", *MERGED]
GGUF_CONFIG = CONFIG | {"vocab_size": len(TOKENS)}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def permuted(weights: NDArray[Any], heads: int) -> NDArray[Any]:
    """Query or key rows as llama.cpp's converter orders them: (first half, second half) pairs interleaved."""
    size = len(weights) // heads
    order = [
        head * size + half * size // 2 + i
        for head in range(heads)
        for i in range(size // 2)
        for half in (0, 1)
    ]
    return weights[order]


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    pre: str = "smollm",
    extra: str | None = None,
    quantise: bool = False,
) -> dict[str, NDArray[np.float32]]:
    """Write a GGUF file; its weights under their Hugging Face names."""
    weights = random_weights(GGUF_CONFIG)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(1024)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(TOKENS) - 3))
    writer.add_token_merges(["Ġ a", "h e", "l o", "1 2"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = dict(_OUTSIDE_LAYERS)
    for layer in range(2):
        names |= {
            f"blk.{layer}.{ours}": f"model.layers.{layer}.{theirs}" for ours, theirs in _IN_LAYER.items()
        }
    for ours, theirs in names.items():
        if theirs not in weights:
            continue
        values = weights[theirs]
        if "q_proj" in theirs:
            values = permuted(values, 4)
        elif "k_proj" in theirs:
            values = permuted(values, 2)
        if quantise and values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(ours, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(ours, values)
    if extra is not None:
        writer.add_tensor(extra, np.zeros(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights
