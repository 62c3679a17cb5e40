"""A few screens against pictures of them that somebody has looked at, in `snapshots/`.

To change one on purpose remove it, run this, and look at the file that is written in its place. They are
drawn by the Textual that the extra `dev` pins: when that pin moves, look at them all.
"""

import difflib
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from memscope.tui.picture import svg
from tests.tui.driving import drawn_through, press, running
from tests.tui.fake import FakeSession, conversation, fake_session, score_now

pytestmark = pytest.mark.anyio

SNAPSHOTS = Path(__file__).with_name("snapshots")
DROPS = 1.5, 0.0, -0.25, 0.125, 0.5, 0.0625, -1.0
"""Nats of every third token."""
TOLD = 20
"""Lines of a difference that are told at most."""


@pytest.fixture(autouse=True)
def nothing_lingers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended would say how long it took."""
    monkeypatch.setattr("memscope.activity.LINGER", 0.0)


def session() -> FakeSession:
    """Numbers that no generator has drawn: the same with every numpy."""
    session = fake_session(conversation(4, 8))
    for memory, response in session.logprobs:
        with_all = np.full(len(session.tokens(response)), -2.0, np.float32)
        without = with_all.copy()
        without[memory::3] -= DROPS[(2 * memory + 3 * response) % len(DROPS)]
        session.logprobs[memory, response] = with_all, without
    return score_now(session)


def check(pilot: Pilot[None], kept: Path) -> None:
    """Fail if the screen differs from the picture that is kept; keep it if there is none, and fail too."""
    # Textual begins every name in an SVG with a number made from all that is drawn.
    drawn = re.sub(r"terminal-\d+-", "", svg(pilot.app)).replace("><", ">\n<")
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(drawn, "utf-8")
        pytest.fail(f"{kept.name} is new: look at it in a browser, then run this again.")
    before = kept.read_text("utf-8")
    if drawn != before:
        lines = difflib.unified_diff(before.split("\n"), drawn.split("\n"), "kept", "drawn", "", "", 0, "")
        pytest.fail(
            f"The screen is not what {kept.name} shows. If it should be, remove {kept}, run this again, and "
            "look at what is written.\n" + "\n".join(islice(lines, TOLD))
        )


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("matrix-characters", (60, 14), ["g", "home", "right"]),
        ("matrix-numbers", (60, 14), ["g", "home", "z", "z", "z", "z"]),
        ("response", (80, 24), ["g", "home", "enter", "right", "right", "right"]),
        ("help", (60, 14), ["question_mark"]),
    ],
)
async def test_it_is_drawn_as_ever(name: str, size: tuple[int, int], keys: list[str]) -> None:
    async with running(session(), size=size) as pilot:
        await press(pilot, *keys)
        check(pilot, SNAPSHOTS / f"{name}.svg")


async def test_without_colours_it_is_drawn_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(session(), size=(60, 14)) as pilot:
        await press(pilot, "g", "home")
        check(pilot, SNAPSHOTS / "matrix-no-color.svg")


async def test_one_other_colour_makes_it_fail(tmp_path: Path) -> None:
    async with running(session(), size=(60, 14)) as pilot:
        with pytest.raises(pytest.fail.Exception, match=r"kept\.svg is new"):
            check(pilot, tmp_path / "kept.svg")
        check(pilot, tmp_path / "kept.svg")
        pilot.app.screen.query_one("#sentence").styles.color = "#ff0000"
        await drawn_through(pilot)
        with pytest.raises(pytest.fail.Exception, match=r"(?s)not what kept\.svg shows.*\+.*#ff0000"):
            check(pilot, tmp_path / "kept.svg")
