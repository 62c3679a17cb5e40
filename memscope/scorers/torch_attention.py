"""Causal attention on a processor, of one prompt or several, without masks and without copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

NAME = "memscope"
"""What transformers knows it by; it makes no mask for a name that it has none for."""


KeysValues = tuple[Any, Any]
"""Keys and values of consecutive positions, each [1, kv_heads, positions, d]."""


@dataclass(frozen=True)
class Prompts:
    """What a cache gives as the keys of several prompts computed together: for each how many of the queries
    are its own, and where its keys and values are, the queries' own at the end of the last."""

    parts: Sequence[tuple[int, Sequence[KeysValues]]]


def attention(
    module: Any,
    query: Any,
    key: Prompts,
    value: None,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Any, None]:
    """What the queries [1, heads, n, d] of prompts' last positions see, each of its own: [1, n, heads, d].

    Raises ValueError if a model wants something else than plainly causal attention.
    """
    if attention_mask is not None or not getattr(module, "is_causal", True) or not _is_plain(options):
        raise ValueError("attention that is not plainly causal")
    seen, start = [], 0
    for length, held in key.parts:
        seen.append(_seen(query[:, :, start : start + length], held, scaling))
        start += length
    return (seen[0] if len(seen) == 1 else torch.cat(seen, dim=2)).transpose(1, 2), None


def _seen(query: Any, held: Sequence[KeysValues], scaling: float | None) -> Any:
    """What a prompt's last queries [1, heads, n, d] see.

    They see all that stands before the first of them, and a causal square from there on. The kernel does both
    without a mask; the logarithms of its sums say how the parts go together.
    """
    attend = kernel()
    keys, values = held[-1]
    before = keys.shape[2] - query.shape[2]
    seen, sums = attend(query, keys[:, :, before:], values[:, :, before:], 0.0, True, scale=scaling)
    early = [*held[:-1], (keys[:, :, :before], values[:, :, :before])] if before else held[:-1]
    for keys, values in early:
        other, its_sums = attend(query, keys, values, 0.0, False, scale=scaling)
        seen = other.lerp_(seen, torch.sigmoid(sums - its_sums).unsqueeze(-1))
        sums = torch.logaddexp(sums, its_sums)
    return seen


def kernel() -> Any:
    """What gives attention and the logarithms of its sums; it is torch's own and may change."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether nothing that changes the numbers is among what a model passes on."""
    changing = ("softcap", "s_aux", "position_bias", "sliding_window", "dropout")
    return not any(options.get(name) for name in changing) and options.get("is_causal") is not False


AttentionInterface.register(NAME, attention)
