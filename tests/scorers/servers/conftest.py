"""Servers that answer from a tiny model, and what the embedded engine says of the same conversation."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from memscope.settings import ScorerChoice
from tests import model_folder
from tests.scorers.embedded import tiny
from tests.scorers.servers.running import TALKED, Outcome, run
from tests.servers.oracle import Oracle


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, no settings, no way to the hub."""
    for name in [name for name in os.environ if name.startswith("MEMSCOPE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retry at once, as often as in earnest."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the template of SmolLM2, whose first token is BOS."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_model(folder, vocab_size=400)
    return model_folder.write_folder(
        folder, model_folder.CHATML, bos_token="<|im_start|>", eos_token="<|endoftext|>"
    )


@pytest.fixture(scope="session")
def oracle(folder: Path) -> Oracle:
    return Oracle(folder)


@pytest.fixture(scope="session")
def other_oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Another model with the same tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "other"
    tiny.write_model(folder, seed=7, vocab_size=400)
    return Oracle(
        model_folder.write_folder(
            folder, model_folder.CHATML, bos_token="<|im_start|>", eos_token="<|endoftext|>"
        )
    )


@pytest.fixture(scope="session")
def embedded(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The conversation scored without a server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path_factory.mktemp("embedded")))
        return run(TALKED, ScorerChoice(model=str(folder)))
