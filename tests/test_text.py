"""Untrusted text on a terminal: nothing it would obey, and lines of the width that was asked for."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.text import ELLIPSIS, cells, fit, one_line, printable

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@given(ANY_TEXT)
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    for character in printable(text).replace("\n", ""):
        kept = unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        assert kept or character in "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with [/red] markup", "plain, with [/red] markup"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x9b31mred", "⟨U+009B⟩31mred"),
        ("ring\x07\x7f", "ring␇␡"),
        ("over\rwritten", "over␍written"),
        ("two\r\nlines", "two\nlines"),
        ("a\tb", "a   b"),
        ("back\u202ewards", "back⟨U+202E⟩wards"),
        ("no\u2028break", "no⟨U+2028⟩break"),
        ("hard\xa0space", "hard space"),
        ("half \ud800", "half \ufffd"),
        ("hid\u200bden", "hid⟨U+200B⟩den"),
        ("👩\u200d💻 naïve 東京", "👩\u200d💻 naïve 東京"),
    ],
)
def test_what_is_hidden_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(ANY_TEXT)
def test_one_line_has_no_breaks_and_no_space_at_its_ends(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert "  " not in line


@given(ANY_TEXT, st.integers(1, 20))
def test_fitted_text_takes_exactly_its_width(text: str, width: int) -> None:
    fitted = fit(text, width)
    assert cells(fitted) == width
    assert "\n" not in fitted


@given(ANY_TEXT, st.integers(1, 20))
def test_text_that_fits_is_whole_and_text_that_does_not_ends_with_an_ellipsis(text: str, width: int) -> None:
    line, fitted = one_line(text), fit(text, width)
    if cells(line) <= width:
        assert fitted.rstrip(" ") == line
    else:
        assert fitted.rstrip(" ").endswith(ELLIPSIS)
        assert line.startswith(fitted.rstrip(" ").removesuffix(ELLIPSIS))


@pytest.mark.parametrize(
    ("text", "width"), [("home", 4), ("東京", 4), ("e\u0301", 1), ("🗼", 2), ("a\ufe0f", 1), ("", 0)]
)
def test_cells_are_those_of_a_terminal(text: str, width: int) -> None:
    assert cells(text) == width


def test_a_wide_character_is_not_cut_in_half() -> None:
    assert fit("東京都", 4) == "東… "
