"""Where torch is not wanted or not there: nothing imports it, and the scorer says how to install it."""

import sys
from pathlib import Path

import pytest

from memscope.errors import ModelError
from memscope.scorers.transformers import TransformersScorer
from tests.test_imports import imported_by


def test_the_scorers_are_imported_without_torch() -> None:
    modules = imported_by("import memscope.scorers, memscope.scorers.transformers")
    assert not modules & {"torch", "transformers", "huggingface_hub"}


def test_without_torch_the_scorer_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "memscope.scorers.torch_model", raising=False)
    with pytest.raises(ModelError, match=r"pip install 'memscope\[transformers\]'"):
        TransformersScorer(tmp_path)
