"""A memory as one line beside a response: rank, key, bar, value."""

from rich.segment import Segment
from textual.strip import Strip

from memscope.scoring.matrix import CellState
from memscope.tui.safe import fit, one_line
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView, Ranked
from memscope.tui.widgets.bars import bar
from memscope.tui.widgets.strips import strip
from memscope.tui.wording import nats

_RANK, _VALUE = 3, 7


def memory_row(
    view: MatrixView, palette: Palette, ranked: Ranked, largest: float, width: int, *, here: bool
) -> Strip:
    """One line of `width` cells; a full bar is `largest` nats, `here` marks the chosen memory."""
    bar_width = 8 if width >= 44 else 5 if width >= 30 else 0
    key_width = width - 1 - _RANK - (bar_width + 1 if bar_width else 0) - _VALUE - 1
    name = palette.strong if here else palette.normal if ranked.matters else palette.faint
    mark = ">" if here else " "
    segments = [
        Segment(mark, palette.accent if here else palette.faint),
        Segment(f"{ranked.rank or '':>2} ", palette.faint),
        Segment(fit(one_line(view.matrix.keys[ranked.memory]), key_width) + " ", name),
    ]
    colour = palette.positive if ranked.value > 0 else palette.negative
    if bar_width:
        drawn = bar(ranked.value, largest, bar_width) if ranked.matters else ""
        segments.append(Segment(drawn.ljust(bar_width + 1), colour if drawn else name))
    if ranked.state is CellState.SCORED:
        segments.append(
            Segment(nats(ranked.value).rjust(_VALUE), colour if ranked.matters else palette.faint)
        )
    else:
        mark = palette.scale.texts[ranked.state].strip()
        segments.append(Segment(mark.rjust(_VALUE), palette.cells[ranked.state]))
    return strip(segments, width, palette.normal)


def largest_value(ranking: list[Ranked]) -> float:
    """The size in nats of the strongest scored cell, 0 if none is."""
    return max((abs(each.value) for each in ranking if each.state is CellState.SCORED), default=0.0)
