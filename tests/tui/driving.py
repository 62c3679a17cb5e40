"""Run the app without a terminal, and read what it draws."""

import asyncio
import html
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from textual.pilot import Pilot
from textual.screen import Screen
from textual.worker import WorkerCancelled

from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.widgets.heatmap import Heatmap
from tests.tui.fake import FakeSession

_FRAME = 0.02
"""Seconds after which Textual has drawn a frame, and called what was to be called after it."""


@asynccontextmanager
async def running(
    session: FakeSession | Session, *, size: tuple[int, int] = (120, 36), score_at_once: bool = False
) -> AsyncIterator[Pilot[None]]:
    """The app with its session prepared."""
    real = session if isinstance(session, Session) else session.as_session
    app = MemscopeApp(real, score_at_once=score_at_once)
    async with app.run_test(size=size) as pilot:
        if all(real.matrix.shape):
            await until(pilot, lambda: app.opened.work.begun)
        await settled(pilot)
        yield pilot


async def drawn_through(pilot: Pilot[None]) -> None:
    """Wait until messages have gone from app to screen to widget and back, and what they changed is laid out
    and drawn."""
    quiet = 0
    for _ in range(50):  # what draws all the time is never quiet
        await pilot.pause(0)
        quiet = quiet + 1 if _is_drawn(pilot.app.screen) else 0
        if quiet == 3:
            break
        if not quiet:
            await asyncio.sleep(0.002)  # the screen draws on a timer


def _is_drawn(screen: Screen[object]) -> bool:
    # Textual has no public name for what is still to be laid out or drawn.
    waiting = screen._layout_required or screen._scroll_required or screen._repaint_required
    return not waiting and not screen._dirty_widgets and bool(screen.size)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until everything that was started has ended and been drawn."""
    await drawn_through(pilot)
    while any(not worker.is_finished for worker in pilot.app.workers):
        with suppress(WorkerCancelled):
            await pilot.app.workers.wait_for_complete()
        await drawn_through(pilot)
    await asyncio.sleep(_FRAME)
    await drawn_through(pilot)


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Wait for what comes only with time, such as a batch of changed rows."""
    for _ in range(500):
        await drawn_through(pilot)
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came true")


async def strike(pilot: Pilot[None], *keys: str) -> None:
    """Press keys; work that they start may go on."""
    for key in keys:
        pilot.app.simulate_key(key)
        await drawn_through(pilot)


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys and let what they start end."""
    for key in keys:
        pilot.app.simulate_key(key)
        await settled(pilot)


def the_app(pilot: Pilot[None]) -> MemscopeApp:
    """The running app."""
    assert isinstance(pilot.app, MemscopeApp)
    return pilot.app


def heatmap(pilot: Pilot[None]) -> Heatmap:
    """The heatmap on the screen."""
    return pilot.app.screen.query_one(Heatmap)


def cursor(pilot: Pilot[None]) -> tuple[int, int]:
    """The memory and the response under the heatmap's cursor."""
    return heatmap(pilot).memory, heatmap(pilot).response


def picture(pilot: Pilot[None]) -> str:
    """All text on the screen, a line a line."""
    lines: dict[float, dict[float, str]] = {}
    drawn = pilot.app.export_screenshot()
    for x, y, text in re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', drawn):
        lines.setdefault(float(y), {})[float(x)] = html.unescape(text).replace("\xa0", " ")
    return "\n".join("".join(line[x] for x in sorted(line)) for _, line in sorted(lines.items()))
