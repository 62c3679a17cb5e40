"""The user's own keys, and the table of all keys."""

from pathlib import Path

import pytest
from textual.binding import Binding

from memscope.errors import InputError
from memscope.tui.app import MemscopeApp
from memscope.tui.keymap import read_keymap, with_keymap
from memscope.tui.keys import all_bindings
from tests.tui import readme_keys
from tests.tui.driving import picture, press, running, strike, until
from tests.tui.fake import conversation, fake_session, score_now

IDS = {"session.score", "session.stop", "app.quit"}


def keymap(no_settings: Path, text: str) -> dict[str, tuple[str, ...]]:
    (no_settings / "config.toml").write_text(text)
    return dict(read_keymap(IDS))


def test_without_a_table_keys_are_their_own(no_settings: Path) -> None:
    assert keymap(no_settings, 'theme = "nord"') == {}


def test_keys_are_named_or_typed_with_commas_between(no_settings: Path) -> None:
    assert keymap(no_settings, '[keys]\n"session.score" = "s, S,/"\napp.quit = "ctrl+x,f10"') == {
        "session.score": ("s", "S", "slash"),
        "app.quit": ("ctrl+x", "f10"),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("keys = 5", r"`\[keys\]` must be a table such as"),
        ('[keys]\n"session.scroe" = "s"', "names `session.scroe`, .* did you mean session.score"),
        ('[keys]\nzzzz = "s"', "names `zzzz`, but no key has that id; the README lists them all"),
        ('[keys]\n"a\\u001b[31m" = "s"', "names `a␛\\[31m`"),
        ('[keys]\n"app.quit" = "ctrl+shft+q"', "`app.quit`: `ctrl\\+shft\\+q` is no key"),
        ('[keys]\n"app.quit" = "nokey,q,"', "`nokey,` is no key"),
        ('[keys]\n"app.quit" = 7', "`app.quit`: `that` is no key"),
        ('[keys]\n"app.quit" = ["q"]', "`app.quit`: `that` is no key"),
    ],
)
def test_what_can_not_be_is_named_in_one_sentence(no_settings: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        keymap(no_settings, text)
    assert "config.toml" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_key_that_the_user_gives_away_does_nothing_else_in_the_same_place() -> None:
    bindings = list(
        Binding.make_bindings([Binding("a,b", "one", id="x.one"), Binding("s", "two", id="x.two")])
    )
    bound = [(each.key, each.action) for each in with_keymap(bindings, {"x.one": ("s",)})]
    assert bound == [("s", "one")]


def test_every_binding_has_an_id_of_its_own_and_says_what_it_does() -> None:
    bindings = all_bindings()
    assert all(each.tooltip for each in bindings)
    assert len({each.id for each in bindings}) == len(bindings)


def test_readme_lists_every_key() -> None:
    assert readme_keys.written() == readme_keys.README.read_text("utf-8"), (
        "run `python -m tests.tui.readme_keys`"
    )


def test_an_unknown_id_is_refused_before_the_screen_opens(no_settings: Path) -> None:
    (no_settings / "config.toml").write_text('[keys]\n"session.nothing" = "s"')
    with pytest.raises(InputError, match=r"names `session\.nothing`"):
        MemscopeApp(fake_session().as_session)


@pytest.mark.anyio
async def test_the_users_key_works_and_stands_in_footer_help_and_palette(no_settings: Path) -> None:
    (no_settings / "config.toml").write_text('[keys]\n"session.metric" = "ctrl+t,f5"\n"cell.down" = "0"')
    async with running(score_now(fake_session()), size=(120, 80)) as pilot:
        assert "^t Metric" in picture(pilot)
        await press(pilot, "ctrl+t")
        assert "clamped" in picture(pilot)
        await press(pilot, "m")
        assert "token-clamped" not in picture(pilot)
        await press(pilot, "question_mark")
        assert "^t f5 " in picture(pilot)
        await press(pilot, "escape")
        await strike(pilot, "ctrl+p")
        await until(pilot, lambda: "^t f5     Metric" in picture(pilot))


@pytest.mark.anyio
async def test_a_key_that_does_two_things_is_told_once(no_settings: Path, told: list[str]) -> None:
    (no_settings / "config.toml").write_text('[keys]\n"session.score" = "s"\n"session.metric" = "j"')
    async with running(score_now(fake_session(conversation(4, 6)))) as pilot:
        assert told == [
            "The key j is both cell.down and session.metric: change [keys] in config.toml. "
            "The key s is both matrix.sort and session.score: change [keys] in config.toml."
        ]
        await press(pilot, "question_mark", "escape")
        assert len(told) == 1


@pytest.mark.anyio
async def test_keys_of_its_own_clash_with_nothing(no_settings: Path, told: list[str]) -> None:
    (no_settings / "config.toml").write_text('[keys]\n"response.back" = "q,backspace"\n"cell.up" = "k"')
    async with running(score_now(fake_session())) as pilot:
        await press(pilot, "enter")
        assert told == []
