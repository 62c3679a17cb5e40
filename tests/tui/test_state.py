"""What is kept between starts, and everything a file may hold instead of it."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import InputError
from memscope.scoring.matrix import Metric
from memscope.tui.app import MemscopeApp
from memscope.tui.arrangement import RowOrder, ViewSettings, Zoom
from memscope.tui.state import State, state_path
from memscope.tui.theme import DARK, LIGHT
from tests.tui.driving import heatmap, press, running, settled, the_app
from tests.tui.fake import fake_session, score_now


class Taste(StrEnum):
    SWEET = "sweet"
    SOUR = "sour"


@dataclass(frozen=True)
class Settings:
    name: str = "x"
    size: int = 1
    share: float = 0.5
    taste: Taste = Taste.SWEET
    seen: bool = False


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    state = State(tmp_path / "new" / "folder" / "screen.json")
    kept = Settings("[b]", 7, 2.5, Taste.SOUR, True)
    state.keep("theme", "nord")
    state.keep("view", kept)
    assert state.changed
    state.save()
    assert not state.changed
    again = State(tmp_path / "new" / "folder" / "screen.json")
    assert again.text("theme") == "nord"
    assert again.restore("view", Settings()) == kept
    assert again.restore("other", Settings()) == Settings()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff\xfe",
        b'"x"',
        b"[" * 70_000,
        b'{"view": 3}',
        b'{"view": {"size": 1e999}}',
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "screen.json"
    path.write_bytes(content)
    assert State(path).restore("view", Settings()) == Settings()
    assert State(path).text("theme") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    kept=st.dictionaries(st.sampled_from(["name", "size", "share", "taste", "seen", "other"]), json_values)
)
def test_foreign_values_are_left_aside_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, kept: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("state") / "screen.json"
    path.write_text(json.dumps({"view": kept}, default=str))
    found = State(path).restore("view", Settings())
    assert (type(found.name), type(found.size), type(found.share)) == (str, int, float)
    assert type(found.taste) is Taste
    assert type(found.seen) is bool
    name = kept.get("name")
    if isinstance(name, str) and name.isascii():
        assert found.name == name


def test_where_it_can_not_be_written_nothing_stops(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = State(tmp_path / "file" / "screen.json")
    state.keep("theme", "nord")
    state.save()
    assert state.text("theme") == "nord"


def test_it_lies_beside_the_cache_where_that_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path))
    assert state_path() == tmp_path / "screen.json"
    monkeypatch.delenv("MEMSCOPE_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_state_dir", lambda app: f"/state/{app}")
    assert state_path() == Path("/state/memscope/screen.json")


@pytest.mark.anyio
async def test_the_next_start_looks_as_the_last_one_did(no_settings: Path) -> None:
    async with running(score_now(fake_session())) as pilot:
        pilot.app.theme = LIGHT.name
        await press(pilot, "s", "z", "m")
        settings = the_app(pilot).opened.view.settings
        assert settings != ViewSettings()
        assert json.loads((no_settings / "screen.json").read_text())["theme"] == LIGHT.name
        await the_app(pilot).action_quit()
    session = score_now(fake_session())
    async with running(session) as pilot:
        assert pilot.app.theme == LIGHT.name
        assert the_app(pilot).opened.view.settings == settings
        assert session.metric is settings.metric
        assert heatmap(pilot).size.width > 0


@pytest.mark.anyio
async def test_a_metric_that_was_asked_for_stays(no_settings: Path) -> None:
    (no_settings / "screen.json").write_text('{"matrix": {"metric": "clamped", "zoom": "fine"}}')
    session = score_now(fake_session())
    app = MemscopeApp(session.as_session, metric_asked=True)
    async with app.run_test() as pilot:
        await settled(pilot)
        assert app.opened.view.metric is session.metric is Metric.SIGNED
        assert app.opened.view.zoom is Zoom.FINE


@pytest.mark.anyio
async def test_foreign_settings_of_the_view_are_left_aside(no_settings: Path) -> None:
    (no_settings / "screen.json").write_text(
        '{"theme": "of tomorrow", "matrix": {"metric": "bits", "zoom": 3, "row_order": "by key"}}'
    )
    async with running(score_now(fake_session())) as pilot:
        assert pilot.app.theme == DARK.name
        assert the_app(pilot).opened.view.settings == ViewSettings(row_order=RowOrder.KEY)


@pytest.mark.anyio
async def test_the_theme_of_the_settings_goes_before_the_one_kept(no_settings: Path) -> None:
    (no_settings / "screen.json").write_text('{"theme": "gruvbox"}')
    (no_settings / "config.toml").write_text('theme = "nord"')
    async with running(score_now(fake_session())) as pilot:
        assert pilot.app.theme == "nord"


def test_an_unknown_theme_is_refused_with_those_that_there_are(no_settings: Path) -> None:
    (no_settings / "config.toml").write_text('theme = "nrod"')
    with pytest.raises(InputError, match=r"The theme 'nrod' in the settings is unknown; choose .*nord"):
        MemscopeApp(fake_session().as_session)
