"""The legend under the heatmap: the range with every level's glyph, and what the other glyphs say."""

import numpy as np
from rich.segment import Segment
from textual.strip import Strip

from memscope.scoring.matrix import NOISE_FACTOR, CellState
from memscope.tui.theme import DIGITS, FIRST_LEVEL, Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.strips import StripView, strip
from memscope.tui.wording import bound

_STATES = {CellState.PENDING: "unscored", CellState.RUNNING: "running", CellState.FAILED: "failed"}


class Legend(StripView):
    """One line."""

    DEFAULT_CSS = """
    Legend {
        height: 1;
        overflow: hidden;
        padding: 0 1;
    }
    """

    def __init__(self, view: MatrixView, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view = view
        self.palette = palette

    def build(self, width: int, height: int) -> list[Strip]:
        """The range, then the states, as much as fits."""
        return [strip(self._segments(), width, self.palette.normal)]

    def _segments(self) -> list[Segment]:
        palette, scale = self.palette, self.palette.scale
        end = "" if self._view.extent is None else bound(self._view.extent)
        unit = self._view.normalisation
        if scale is DIGITS:
            segments = [Segment(f"+ - tenths of {end or '…'} {unit}", palette.normal)]
        else:
            levels = range(FIRST_LEVEL, FIRST_LEVEL + 2 * scale.levels + 1)
            segments = [
                Segment(f"-{end} ", palette.normal),
                *(Segment(scale.texts[code][:1], palette.cells[code]) for code in levels),
                Segment(f" +{end} {unit}", palette.normal),
            ]
        noise = self._view.matrix.noise
        named: dict[int, str] = {int(state): name for state, name in _STATES.items()}
        if not np.isnan(noise).all():
            named = {scale.noise: f"<{NOISE_FACTOR:g}x noise {np.nanmax(noise):.1g}", **named}
        for code, name in named.items():
            segments += [
                Segment("  ", palette.normal),
                Segment(scale.texts[code].strip(), palette.cells[code]),
                Segment(f" {name}", palette.faint),
            ]
        return segments
