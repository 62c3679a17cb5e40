"""Causal attention on a processor, without a mask and without copies of the keys and values."""

from typing import Any

import torch
from transformers import AttentionInterface

NAME = "memscope"
"""What transformers knows it by; it makes no mask for a name that it has none for."""


def attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Any, None]:
    """What the queries [1, heads, n, d] of a prompt's last n positions see of its keys and values
    [1, kv_heads, m, d]: [1, n, heads, d].

    They see all that stands before the first of them, and a causal square from there on. The kernel does both
    without a mask; the logarithms of its sums say how the two go together. Raises ValueError if a model wants
    something else.
    """
    if attention_mask is not None or not getattr(module, "is_causal", True) or not _is_plain(options):
        raise ValueError("attention that is not plainly causal")
    attend = kernel()
    before = key.shape[2] - query.shape[2]
    seen, sums = attend(query, key[:, :, before:], value[:, :, before:], 0.0, True, scale=scaling)
    if before:
        early, early_sums = attend(query, key[:, :, :before], value[:, :, :before], 0.0, False, scale=scaling)
        seen = early.lerp_(seen, torch.sigmoid(sums - early_sums).unsqueeze(-1))
    return seen.transpose(1, 2), None


def kernel() -> Any:
    """What gives attention and the logarithms of its sums; it is torch's own and may change."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether nothing that changes the numbers is among what a model passes on."""
    changing = ("softcap", "s_aux", "position_bias", "sliding_window", "dropout")
    return not any(options.get(name) for name in changing) and options.get("is_causal") is not False


AttentionInterface.register(NAME, attention)
