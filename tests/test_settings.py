"""Where a setting comes from, and what is said about a configuration that can't be read."""

from pathlib import Path

import platformdirs
import pytest

from memscope.errors import InputError
from memscope.settings import cache_dir, setting


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of its own, and no variables."""
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda app: str(tmp_path / app))
    for name in ("MODEL", "METRIC", "CACHE_DIR"):
        monkeypatch.delenv(f"MEMSCOPE_{name}", raising=False)
    (tmp_path / "memscope").mkdir()
    return tmp_path / "memscope" / "config.toml"


def test_without_a_file_a_setting_has_its_default() -> None:
    assert setting("model") is None
    assert setting("metric", "signed") == "signed"


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('metric = "clamped"')
    assert setting("metric", "signed") == "clamped"
    monkeypatch.setenv("MEMSCOPE_METRIC", "token-clamped")
    assert setting("metric", "signed") == "token-clamped"


def test_an_empty_variable_counts_as_none(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('metric = "clamped"')
    monkeypatch.setenv("MEMSCOPE_METRIC", "")
    assert setting("metric") == "clamped"


def test_the_cache_is_in_the_users_folder_unless_moved(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == Path(platformdirs.user_cache_dir("memscope"))
    config.write_text('cache_dir = "/data/memscope"')
    assert cache_dir() == Path("/data/memscope")
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", "~/elsewhere")
    assert cache_dir() == Path.home() / "elsewhere"


def test_a_home_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", "~nobody-of-that-name/cache")
    with pytest.raises(InputError, match=r"^The cache folder ~nobody-of-that-name/cache .*\.$"):
        cache_dir()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"metric = signed", r"config.toml can't be read: .*line 1.*\.$"),
        (b"metric = \xff", r"config.toml can't be read: .*\.$"),
        (b"metric = 3", r"config.toml: `metric` must be text, not int\.$"),
        (b"[metric]\na = 1", r"config.toml: `metric` must be text, not dict\.$"),
    ],
)
def test_a_configuration_that_is_wrong_is_one_sentence(config: Path, content: bytes, sentence: str) -> None:
    config.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        setting("metric")


def test_a_folder_in_place_of_the_configuration_is_one_sentence(config: Path) -> None:
    config.mkdir()
    with pytest.raises(InputError, match=r"config.toml can't be read: Is a directory\.$"):
        setting("metric")
