"""Drives the program step by step on a terminal that counts bytes; the benchmarks of the screens use it."""

import asyncio
import os
import statistics
from collections.abc import Callable
from typing import ClassVar

# before Textual is imported: it reads them then
os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"
os.environ["COLORTERM"] = "truecolor"

from textual.drivers.headless_driver import HeadlessDriver

from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.opened import Opened

Cost = tuple[float, int]
"""Milliseconds, and bytes for the terminal."""


class CountingDriver(HeadlessDriver):
    """A terminal that counts bytes; not headless to Textual, so that every frame is rendered to the end."""

    written: ClassVar[int] = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        CountingDriver.written += len(data.encode())


class DrivenApp(MemscopeApp):
    """The program over a session that is not scored; once it is up it measures itself and leaves."""

    clock: Callable[[], float]
    """What a step's seconds are read from."""
    patience: float | None = None
    """Seconds after which a step has drawn nothing; None waits for as long as it takes."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, score_at_once=False)
        self.driver_class = CountingDriver
        self.drawn = asyncio.Event()
        self.results: dict[str, dict[str, float]] = {}

    def post_display_hook(self) -> None:
        self.drawn.set()

    def _prepare(self, opened: Opened) -> None:
        self.run_worker(self.measure())

    async def measure(self) -> None:
        """Fill `results` with what each step costs, then leave."""
        raise NotImplementedError

    async def step(self, action: Callable[[], object]) -> Cost | None:
        """What it costs until an action is drawn; None if there was nothing to draw."""
        await asyncio.sleep(0.03)
        self.drawn.clear()
        written, began = CountingDriver.written, self.clock()
        action()
        try:
            await asyncio.wait_for(self.drawn.wait(), self.patience)
        except TimeoutError:
            return None
        ended = self.clock()
        await asyncio.sleep(0.05)
        return (ended - began) * 1000, CountingDriver.written - written

    async def steps(self, times: int, action: Callable[[], object]) -> list[Cost]:
        """What each of so many steps costs; fewer if one has nothing to draw."""
        costs: list[Cost] = []
        for _ in range(times):
            if (cost := await self.step(action)) is None:
                break
            costs.append(cost)
        return costs


def summary(
    costs: list[Cost], typical: Callable[[list[float]], float] = statistics.median
) -> dict[str, float]:
    """The typical and the longest time in milliseconds, and the median bytes."""
    spent = [ms for ms, _ in costs]
    return {
        "ms": typical(spent),
        "worst_ms": max(spent),
        "bytes": statistics.median(size for _, size in costs),
    }
