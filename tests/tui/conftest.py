"""What screen tests share: a truecolor terminal, whatever they run in, and a scorer without a model."""

from pathlib import Path

import pytest
from textual import constants

from memscope.tui.host import Host
from tests.scorers_fake import HashScorer, opening


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def truecolor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HashScorer:
    """The scorer that every session opened in a test gets."""
    scorer = HashScorer()
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("memscope.scoring.session.open_scorer", opening(scorer))
    return scorer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the app notifies the user of; a test's app shows none."""
    told: list[str] = []

    def notify(self: Host, message: str, *, markup: bool = True, **options: object) -> None:
        assert not markup
        told.append(message)

    monkeypatch.setattr(Host, "notify", notify)
    return told


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own for settings and what is kept, `config.toml` and `screen.json`."""
    folder = tmp_path_factory.mktemp("settings") / "memscope"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent))
    monkeypatch.setattr("memscope.tui.host.state_path", lambda: folder / "screen.json")
    for name in ("MEMSCOPE_THEME", "MEMSCOPE_METRIC"):
        monkeypatch.delenv(name, raising=False)
    return folder
