"""Bars made of characters."""

import numpy as np
from numpy.typing import NDArray

SPARKS = " ▁▂▃▄▅▆▇█"


def bar(value: float, largest: float, width: int) -> str:
    """A bar of at most `width` cells, half a cell fine; anything above zero shows at least half a cell."""
    if not largest > 0 or not abs(value) > 0 or width <= 0:
        return ""
    halves = max(1, round(2 * width * min(1.0, abs(value) / largest)))
    return "━" * (halves // 2) + "╸" * (halves % 2)


def spark_levels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An index into `SPARKS` for each value: 0 for NaN, 1 for zero or less, 8 for the largest."""
    if np.isnan(values).all():
        return np.zeros(len(values), np.uint8)
    largest = max(float(np.nanmax(values)), 1e-12)
    levels = 1 + np.ceil(7 * np.clip(values / largest, 0.0, 1.0))
    indexes: NDArray[np.uint8] = np.nan_to_num(levels, nan=0.0).astype(np.uint8)
    return indexes
