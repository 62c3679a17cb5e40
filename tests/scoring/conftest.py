"""Runs over the fake scorer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from memscope.store import Store


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retry at once, as often as in earnest."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of its own."""
    kept = Store(tmp_path / "scores.sqlite")
    assert kept.problem is None
    yield kept
    kept.close()
