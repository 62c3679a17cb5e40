"""What leaves a past run: its matrix in files, its cells as text."""

import csv
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from memscope.scoring.matrix import Metric
from memscope.tui.screens.past import PastScreen
from memscope.tui.screens.past_run import PastRunScreen
from tests.scorers_fake import TALK, HashScorer
from tests.tui.driving import heatmap, picture, press, the_app
from tests.tui.test_runs_screen import OTHER, keep, the_runs

pytestmark = pytest.mark.anyio


@pytest.fixture
def cache(scorer: HashScorer, tmp_path: Path) -> Path:
    return tmp_path / "cache"


async def write(pilot: Pilot[None], name: str) -> None:
    """Export to a file."""
    await press(pilot, "e")
    pilot.app.screen.query_one(Input).value = name
    await press(pilot, "enter")


def past(pilot: Pilot[None]) -> PastRunScreen:
    assert isinstance(pilot.app.screen, PastRunScreen)
    return pilot.app.screen


async def test_e_writes_the_runs_own_numbers_under_the_metric_that_is_shown(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "enter", "m")
        await write(pilot, "run.csv")
        assert "wrote run.csv" in picture(pilot)
        matrix = past(pilot).view.matrix
        assert matrix is not the_app(pilot).opened.view.matrix
        with Path("run.csv").open(newline="") as file:
            told = [float(line["divergence"] or "nan") for line in csv.DictReader(file)]
        np.testing.assert_array_equal(told, matrix.values(Metric.CLAMPED).ravel())
        await write(pilot, "run.npz")
        with np.load("run.npz") as arrays:
            assert str(arrays["metric"]) == "clamped"


async def test_e_draws_the_past_run_as_a_picture(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "enter")
        await write(pilot, "run.svg")
        assert "past&#160;run" in Path("run.svg").read_text()


async def test_what_a_run_does_not_keep_is_refused_in_the_prompt(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "enter")
        await write(pilot, "run.json")
        assert "of a past run only the numbers are kept" in picture(pilot)
        assert not Path("run.json").exists()


async def test_a_comparison_is_no_matrix_to_write(cache: Path) -> None:
    await keep(cache, HashScorer(), *TALK)
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "c")
        assert isinstance(pilot.app.screen, PastScreen)
        assert pilot.app.screen.check_action("export", ()) is False


async def test_y_copies_the_cell_as_it_was(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK)
    async with the_runs() as pilot:
        await press(pilot, "enter")
        heatmap(pilot).move_to(1, 2)
        await press(pilot, "y")
        value = past(pilot).view.matrix.values(Metric.SIGNED)[1, 2]
        assert pilot.app.clipboard.startswith(f"diet x r3: {value:+.2f} nats, ")
        assert pilot.app.clipboard.endswith("Walk home along the quay.\n\nNora cannot eat peanuts.\n")


async def test_y_copies_a_cell_whose_texts_are_gone(cache: Path) -> None:
    await keep(cache, OTHER(), *TALK, ("assistant", "Good night."))
    async with the_runs() as pilot:
        await press(pilot, "enter", "end", "y")
        assert "response no longer there" in pilot.app.clipboard
