"""Colours and glyphs: the diverging scale of the heatmap, and how each cell state is drawn."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.color import Color as RichColor
from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.theme import Theme

from memscope.scoring.matrix import IMPORTANT, CellState

DARK = Theme(
    name="memscope-dark",
    primary="#7fb4ca",
    secondary="#8fa3b8",
    accent="#7fb4ca",
    warning="#e6c384",
    error="#ff6f6f",
    success="#98bb6c",
    foreground="#d4d7dd",
    background="#15171c",
    surface="#1b1e24",
    panel="#23272f",
    dark=True,
    variables={"footer-key-foreground": "#7fb4ca", "footer-background": "#1b1e24"},
)
LIGHT = Theme(
    name="memscope-light",
    primary="#1f6f8b",
    secondary="#5a6b7d",
    accent="#1f6f8b",
    warning="#946800",
    error="#c62828",
    success="#3f7d20",
    foreground="#23262b",
    background="#fbfaf8",
    surface="#f1efeb",
    panel="#e6e3dd",
    dark=False,
    variables={"footer-key-foreground": "#1f6f8b", "footer-background": "#f1efeb"},
)

# ColorBrewer PuOr, safe for colour-blind eyes: from weak to strong, away from the background.
_ORANGE_ON_DARK = ("#4a2f12", "#8a4a08", "#cc7412", "#fdb863")
_PURPLE_ON_DARK = ("#2b2547", "#4b3a86", "#8073ac", "#c0b9dc")
_ORANGE_ON_LIGHT = ("#fee0b6", "#fdb863", "#e08214", "#b35806")
_PURPLE_ON_LIGHT = ("#d8daeb", "#b2abd2", "#8073ac", "#542788")

FIRST_LEVEL = len(CellState)
"""Codes below are cell states; from here on they are levels, the most negative first."""


_QUIET = 1 / 64
"""The share of the range up to which a cell is drawn as zero."""


@dataclass(frozen=True)
class Scale:
    """How a divergence becomes one of 2n+1 levels, and each level two characters.

    `texts` are indexed by code: the states of `CellState`, then levels -n .. +n, then what lies in the noise.
    """

    levels: int
    texts: tuple[str, ...]

    @property
    def zero(self) -> int:
        """The code of a divergence that is next to nothing."""
        return FIRST_LEVEL + self.levels

    @property
    def noise(self) -> int:
        """The code of a divergence that may be nothing but noise."""
        return FIRST_LEVEL + 2 * self.levels + 1

    def codes(
        self,
        values: NDArray[np.float64],
        states: NDArray[np.uint8],
        extent: float,
        within_noise: NDArray[np.bool_],
        least: float = IMPORTANT,
    ) -> NDArray[np.uint8]:
        """A code for each cell; `values` and the range's end `extent` in nats. What is not above `least`
        nats, or next to nothing in that range, is zero, or every cell would seem to matter."""
        share = np.minimum(np.abs(np.nan_to_num(values)) / extent, 1.0)
        level = np.where(np.abs(values) > max(least, _QUIET * extent), self._magnitude(share), 0)
        codes = self.zero + np.copysign(level, values)
        codes = np.where(within_noise & (np.abs(values) > least), self.noise, codes)
        scored = states == CellState.SCORED
        return np.where(scored, np.nan_to_num(codes, nan=self.zero), states).astype(np.uint8)

    def _magnitude(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        raise NotImplementedError


class Shades(Scale):
    """Four magnitudes a side at 1/64, 1/16, 1/4 and 9/16 of the range: few divergences are large."""

    def _magnitude(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        magnitude: NDArray[np.float64] = np.ceil(self.levels * np.sqrt(share)).clip(1, self.levels)
        return magnitude


class Digits(Scale):
    """Sign and tenths of the range, for terminals without colour."""

    def _magnitude(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        # A level is one more than the digit shown, because -0 and +0 are levels too.
        magnitude: NDArray[np.float64] = np.floor(share * 10 + 1e-9).clip(0, 9) + 1
        return magnitude


_STATES = ("  ", "/ ", "… ", "  ", "? ")
_NOISE = "~ "
SHADES = Shades(4, (*_STATES, "≡≡", "══", "──", "╌╌", "· ", "░░", "▒▒", "▓▓", "██", _NOISE))
DIGITS = Digits(
    10, (*_STATES, *(f"-{n}" for n in range(9, -1, -1)), "· ", *(f"+{n}" for n in range(10)), _NOISE)
)


@dataclass(frozen=True)
class Palette:
    """The rich styles of one theme; every one carries its background, as the Line API wants."""

    scale: Scale
    cells: tuple[Style, ...]
    normal: Style
    faint: Style
    strong: Style
    accent: Style
    cursor: Style
    error: Style
    positive: Style
    negative: Style
    numbers: tuple[Style, ...]
    """For numbers written out, by the same codes as `cells`."""
    tokens: tuple[Style, ...]
    """For words, by the levels of `SHADES`: underlined where positive, struck through where negative."""


def palette(app: App[Any]) -> Palette:
    """The palette for the app's theme and for what its terminal can show."""
    variables = app.theme_variables
    base, text, accent, error = (
        Color.parse(variables[name]) for name in ("background", "foreground", "primary", "error")
    )
    if app.no_color or app.native_ansi_color or app.console.color_system in (None, "standard"):
        return plain(base.rich_color, text.rich_color, app.current_theme.dark, app.native_ansi_color)
    return coloured(app.current_theme.dark, base, text, accent, error)


@lru_cache(maxsize=8)
def coloured(dark: bool, base: Color, text: Color, accent: Color, error: Color) -> Palette:
    orange, purple = (
        tuple(map(Color.parse, colours))
        for colours in ((_ORANGE_ON_DARK, _PURPLE_ON_DARK) if dark else (_ORANGE_ON_LIGHT, _PURPLE_ON_LIGHT))
    )

    def style(colour: Color, behind: Color = base, **attributes: Any) -> Style:
        return Style(color=colour.rich_color, bgcolor=behind.rich_color, **attributes)

    def readable_on(colour: Color) -> Color:
        return max((base, text), key=lambda each: abs(each.brightness - colour.brightness))

    faint = text.blend(base, 0.5)
    states = (
        style(base),
        style(text.blend(base, 0.7)),
        style(accent, bold=True),
        style(base),
        style(error, bold=True),
    )
    # A glyph lies over a weaker shade of its own colour: a texture that tells, not noise.
    positive = [style(colour, colour.blend(base, 0.3)) for colour in orange]
    negative = [style(readable_on(colour).blend(colour, 0.35), colour) for colour in purple]
    return Palette(
        scale=SHADES,
        cells=(*states, *reversed(negative), style(text.blend(base, 0.65)), *positive, style(faint)),
        numbers=(
            *states,
            *(style(readable_on(colour), colour) for colour in reversed(purple)),
            style(text.blend(base, 0.5)),
            *(style(readable_on(colour), colour) for colour in orange),
            style(faint),
        ),
        normal=style(text.blend(base, 0.12)),
        faint=style(faint),
        strong=style(text, bold=True),
        accent=style(accent, bold=True),
        cursor=style(base, accent, bold=True),
        error=style(error, bold=True),
        positive=style(orange[2]),
        negative=style(purple[2]),
        tokens=(
            *(style(readable_on(colour), colour, strike=True) for colour in reversed(purple)),
            style(text.blend(base, 0.12)),
            *(style(readable_on(colour), colour, underline=True) for colour in orange),
        ),
    )


_SIXTEEN = {True: ("yellow", "magenta", "cyan", "red"), False: ("red", "magenta", "blue", "red")}
_EXACT = {
    True: ("#ffff55", "#ff55ff", "#55ffff", "#ff5555"),
    False: ("#aa0000", "#aa00aa", "#0000aa", "#aa0000"),
}
"""Positive, negative, accent and error on dark and on light: yellow and cyan can't be read on white."""


@lru_cache(maxsize=4)
def plain(base: RichColor, text: RichColor, dark: bool = True, native: bool = True) -> Palette:
    """Signs, digits and attributes; the sixteen colours only repeat what those say. Where they are not the
    terminal's own (`native`) they have values that become them again, else yellow would come out as red."""
    hot, cold, mark, wrong = _SIXTEEN[dark] if native else _EXACT[dark]

    def style(colour: str | None = None, **attributes: Any) -> Style:
        return Style(color=colour or text, bgcolor=base, **attributes)

    states = (style(), style(dim=True), style(mark, bold=True), style(), style(wrong, bold=True))
    negative = [style(cold, bold=level >= 3, reverse=level >= 6) for level in range(10)]
    positive = [style(hot, bold=level >= 3, reverse=level >= 6) for level in range(10)]
    cells = (*states, *reversed(negative), style(dim=True), *positive, style(dim=True))
    return Palette(
        scale=DIGITS,
        cells=cells,
        numbers=cells,
        normal=style(),
        faint=style(dim=True),
        strong=style(bold=True),
        accent=style(mark, bold=True),
        cursor=style(reverse=True, bold=True),
        error=style(wrong, bold=True),
        positive=style(hot),
        negative=style(cold),
        tokens=(
            *(style(cold, strike=True, bold=level > 2) for level in range(4, 0, -1)),
            style(),
            *(style(hot, underline=True, bold=level > 2) for level in range(1, 5)),
        ),
    )
