"""Every theme, in millions of colours and in 256: levels that can be told apart, text that can be read."""

import pytest
from rich.color import Color as RichColor
from rich.color import ColorSystem
from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from memscope.tui.theme import DARK, FIRST_LEVEL, LIGHT, SHADES, palette, plain
from tests.tui.driving import picture, press, running, settled
from tests.tui.fake import conversation, fake_session, score_now

pytestmark = pytest.mark.anyio

THEMES = [*BUILTIN_THEMES.values(), DARK, LIGHT]


def luminance(color: RichColor) -> float:
    """As WCAG 2 has it."""
    assert color.triplet is not None
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in color.triplet.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(style: Style) -> float:
    assert style.color is not None
    assert style.bgcolor is not None
    dark, light = sorted((luminance(style.color), luminance(style.bgcolor)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [each for each in THEMES if not each.ansi], ids=lambda each: each.name)
async def test_a_coloured_theme_is_legible(theme: Theme) -> None:
    async with running(score_now(fake_session())) as pilot:
        pilot.app.theme = theme.name
        await settled(pilot)
        colours = palette(pilot.app)
        assert contrast(colours.normal) > 3.9
        assert contrast(colours.strong) > 4
        assert min(contrast(each) for each in (colours.accent, colours.error, colours.cursor)) > 2.9
        assert min(contrast(each) for each in (colours.positive, colours.negative)) > 2.1
        assert contrast(colours.faint) > 2
        for system in (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT):
            levels = colours.cells[FIRST_LEVEL : FIRST_LEVEL + 2 * SHADES.levels + 1]
            drawn = set()
            for style in levels:
                assert style.color is not None
                assert style.bgcolor is not None
                drawn.add((style.color.downgrade(system), style.bgcolor.downgrade(system)))
            assert len(drawn) == len(levels)


@pytest.mark.parametrize("theme", [each for each in THEMES if each.ansi], ids=lambda each: each.name)
async def test_an_ansi_theme_says_everything_in_signs_and_the_terminals_own_colours(theme: Theme) -> None:
    async with running(score_now(fake_session(conversation(8, 12)))) as pilot:
        pilot.app.theme = theme.name
        await settled(pilot)
        drawn = picture(pilot)
        assert "+0" in drawn
        assert "▓" not in drawn
        colours = palette(pilot.app)
        for style in (*colours.cells, *colours.tokens, colours.normal, colours.faint, colours.cursor):
            assert style.bgcolor is not None
            assert style.bgcolor.is_default
        assert (colours.positive.color == RichColor.parse("yellow")) == theme.dark
        await press(pilot, "question_mark")
        picture(pilot)


@pytest.mark.parametrize(("theme", "numbers"), [(DARK, (11, 13, 14, 9)), (LIGHT, (1, 5, 4, 1))])
def test_sixteen_colours_are_what_they_are_called(theme: Theme, numbers: tuple[int, ...]) -> None:
    base, text = Color.parse(theme.background or ""), Color.parse(theme.foreground or "")
    colours = plain(base.rich_color, text.rich_color, theme.dark, native=False)
    shown = []
    for style in (colours.positive, colours.negative, colours.accent, colours.error):
        assert style.color is not None
        shown.append(style.color.downgrade(ColorSystem.STANDARD).number)
    assert tuple(shown) == numbers
