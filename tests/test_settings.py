"""Where a setting comes from, and what is said about a configuration that can't be read."""

import os
from pathlib import Path

import platformdirs
import pytest

from memscope.errors import InputError
from memscope.settings import ScorerChoice, cache_dir, scorer_choice, setting


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of its own, and no variables."""
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda app: str(tmp_path / app))
    for name in [name for name in os.environ if name.startswith("MEMSCOPE_")]:
        monkeypatch.delenv(name)
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


class TestChoosingAScorer:
    def test_without_settings_nothing_is_chosen(self) -> None:
        assert scorer_choice() == ScorerChoice()

    def test_flags_go_before_variables_and_variables_before_the_file(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.write_text(
            'scorer = "vllm"\nurl = "http://file"\nmodel = "file"\nconcurrency = 2\ntimeout = 1.5'
        )
        monkeypatch.setenv("MEMSCOPE_URL", "http://variable")
        monkeypatch.setenv("MEMSCOPE_CONCURRENCY", "3")
        found = scorer_choice(kind=None, model="flag")
        assert (found.kind, found.url, found.model) == ("vllm", "http://variable", "flag")
        assert (found.concurrency, found.timeout) == (3, 1.5)

    @pytest.mark.parametrize("name", ["concurrency", "timeout", "context"])
    @pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf", "1e99"])
    def test_a_number_must_be_above_zero(
        self, name: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(f"MEMSCOPE_{name.upper()}", value)
        with pytest.raises(
            InputError, match=rf"^The setting `{name}` is .*; it must be a number above zero\.$"
        ):
            scorer_choice()

    @pytest.mark.parametrize("name", ["concurrency", "context"])
    def test_a_count_must_be_whole(self, name: str) -> None:
        with pytest.raises(InputError, match=rf"^The setting `{name}` is 2\.5; it must be a whole number\.$"):
            scorer_choice(**{name: 2.5})

    @pytest.mark.parametrize("line", ["timeout = true", "timeout = [1]", 'timeout = ""'])
    def test_something_else_than_a_number_is_refused(self, config: Path, line: str) -> None:
        config.write_text(line)
        with pytest.raises(InputError, match="must be a number above zero"):
            scorer_choice()


class TestKey:
    KEY = "sk-0123456789"

    def test_the_variable_goes_before_the_file(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config.write_text('api_key = "from the file"')
        monkeypatch.setenv("MEMSCOPE_API_KEY", self.KEY)
        assert scorer_choice().api_key == self.KEY

    def test_the_file_is_read_where_there_is_no_variable(self, config: Path) -> None:
        config.write_text(f'api_key = "{self.KEY}"')
        config.chmod(0o600)
        found = scorer_choice()
        assert (found.api_key, found.warning) == (self.KEY, None)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
    def test_a_file_that_others_can_read_is_warned_of(self, config: Path, mode: int) -> None:
        config.write_text(f'api_key = "{self.KEY}"')
        config.chmod(mode)
        found = scorer_choice()
        assert found.api_key == self.KEY
        assert found.warning == f"Others can read the key in {config}; run `chmod 600` on that file."

    def test_a_file_without_a_key_may_be_read_by_all(self, config: Path) -> None:
        config.write_text('model = "smol"')
        config.chmod(0o644)
        assert scorer_choice().warning is None

    def test_a_variable_makes_the_warning_needless(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.write_text('api_key = "from the file"')
        config.chmod(0o644)
        monkeypatch.setenv("MEMSCOPE_API_KEY", self.KEY)
        assert scorer_choice().warning is None

    def test_white_space_around_it_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMSCOPE_API_KEY", f" {self.KEY}\n")
        assert scorer_choice().api_key == self.KEY

    @pytest.mark.parametrize("key", ["schlüssel", "a\nb", "a\x00b", "a\x7fb", "   "])
    def test_one_that_can_not_be_sent_is_refused_without_showing_it(self, config: Path, key: str) -> None:
        escaped = "".join(f"\\u{ord(character):04x}" for character in key)
        config.write_text(f'api_key = "{escaped}"')
        with pytest.raises(InputError) as refused:
            scorer_choice()
        sentence = f"`api_key` in {config} is not a key that can be sent: it must be printable ASCII text."
        assert str(refused.value) == sentence

    def test_one_that_is_no_text_is_refused_without_showing_it(self, config: Path) -> None:
        config.write_text("api_key = 123456789")
        with pytest.raises(InputError) as refused:
            scorer_choice()
        assert str(refused.value) == f"{config}: `api_key` must be text."

    def test_it_is_not_shown(self, config: Path) -> None:
        config.write_text(f'api_key = "{self.KEY}"')
        assert self.KEY not in repr(scorer_choice())


class TestKvBudget:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("0", 0),
            ("2GB", 2_000_000_000),
            ("512mb", 512_000_000),
            ("1.5 GiB", 3 << 29),
            ("64K", 64_000),
            ("100B", 100),
            ("123", 123),
        ],
    )
    def test_a_size_has_a_unit_or_is_in_bytes(
        self, text: str, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert scorer_choice(kv_budget=text).kv_budget == size
        monkeypatch.setenv("MEMSCOPE_KV_BUDGET", text)
        assert scorer_choice().kv_budget == size

    def test_the_file_may_hold_a_number(self, config: Path) -> None:
        config.write_text("kv_budget = 0")
        assert scorer_choice().kv_budget == 0

    @pytest.mark.parametrize("text", ["much", "-1", "2 PB", "1e9", "GB", "nan"])
    def test_something_else_is_refused(self, text: str) -> None:
        with pytest.raises(
            InputError, match=r"^The setting `kv_budget` is .*; it must be a size such as 2GB"
        ):
            scorer_choice(kv_budget=text)
