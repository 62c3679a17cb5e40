"""Runs, and cells that moved between two of them, as lines for lists; knows no widget and no app."""

from dataclasses import dataclass

from rich.segment import Segment
from textual.strip import Strip

from memscope.scoring.compare import Moved
from memscope.scoring.runs import RunInfo, RunState
from memscope.tui import run_wording as words
from memscope.tui.safe import fit, one_line
from memscope.tui.theme import Palette
from memscope.tui.widgets.strips import strip
from memscope.tui.wording import nats
from memscope.wording import duration

_MARKS = 3
"""Cells before the first column: the cursor, the mark, a space."""
_YEAR_FROM = 80
"""The width of a list from which on the year is told."""


@dataclass(frozen=True)
class _Column:
    """A column, its width in cells, and the width of the list from which on it is there."""

    name: str
    width: int
    least: int
    right: bool = False


_COLUMNS = (
    _Column("ago", 10, 0),
    _Column("took", 10, 90, right=True),
    _Column("metric", 13, 104),
    _Column("cells", 13, 76, right=True),
    _Column("tokens", 10, 116, right=True),
    _Column("cached", 7, 134, right=True),
    _Column("requests", 8, 146, right=True),
    _Column("state", 10, 0),
)


def run_header(width: int) -> str:
    """What the columns of a list of `width` cells are."""
    return _line("when", "model", {column.name: column.name for column in _COLUMNS}, width)


def run_line(
    run: RunInfo, now: float, width: int, palette: Palette, *, here: bool, marked: bool, doomed: bool = False
) -> Strip:
    """A run on one line of `width` cells, its age told at `now`, in seconds since 1970. `here` is the cursor,
    a `doomed` one is deleted by the next press."""
    values = {
        "ago": words.ago(run, now),
        "took": duration(run.seconds),
        "metric": run.metric.value,
        "cells": words.cells(run),
        "tokens": f"{run.tokens_computed:,}",
        "cached": f"{run.cells_from_cache:,}",
        "requests": f"{run.requests:,}",
        "state": words.state(run),
    }
    why = words.reason(run)
    model = f"{words.scorer(run)}{f' · {why}' if why else ''}"
    text = _line(words.when(run, year=width >= _YEAR_FROM), model, values, width)
    state = {RunState.COMPLETE: palette.positive, RunState.STOPPED: palette.faint}.get(
        run.state, palette.error
    )
    normal = palette.error if doomed else palette.strong if here else palette.normal
    marks = [
        Segment("✗" if doomed else ">" if here else " ", palette.error if doomed else palette.accent),
        Segment("a" if marked else " ", palette.accent),
    ]
    end = len(text) - _COLUMNS[-1].width
    return strip([*marks, Segment(text[2:end], normal), Segment(text[end:], state)], width, palette.normal)


def moved_line(moved: Moved, response: int, width: int, palette: Palette, *, here: bool) -> Strip:
    """A cell that moved on one line of `width` cells: memory, response, both values, the difference; `~`
    where that lies within the noise."""
    name = palette.strong if here else palette.faint if moved.within_noise else palette.normal
    colour = palette.positive if moved.difference > 0 else palette.negative
    values = f" {nats(moved.a):>7} → {nats(moved.b):<7}" if width >= 46 else ""
    where, difference = f" r{response + 1}".ljust(6), nats(moved.difference).rjust(8)
    key = max(1, width - 3 - len(where) - len(values) - len(difference))
    return strip(
        [
            Segment(">" if here else " ", palette.accent),
            Segment(fit(one_line(moved.key), key) + where, name),
            Segment(values, palette.faint),
            Segment(difference, palette.faint if moved.within_noise else colour),
            Segment(" ~" if moved.within_noise else "  ", palette.faint),
        ],
        width,
        palette.normal,
    )


def _line(when: str, model: str, values: dict[str, str], width: int) -> str:
    """The columns that fit, the model in what they leave."""
    columns = [column for column in _COLUMNS if width >= column.least]
    time = len("2026-11-24 20:59") if width >= _YEAR_FROM else len("11-24 20:59")
    room = width - _MARKS - time - 1 - sum(column.width + 1 for column in columns)
    shown = [
        fit(values[column.name].rjust(column.width) if column.right else values[column.name], column.width)
        for column in columns
    ]
    first, *rest, last = shown
    return " " * _MARKS + " ".join([fit(when, time), first, fit(one_line(model), room), *rest, last])
