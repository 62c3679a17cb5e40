"""CPU of the heatmap at 300 x 1000: mount, cursor step, scrolling, re-sort, a row coming in.

    python benchmarks/heatmap.py [--memories 300] [--responses 1000] [--size 160x50] [--json]

Process CPU from the call until the last byte for the terminal is made, in milliseconds, the median of many
(mount: the best of five, in a running app). `bytes` is what one such step sends to the terminal.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import ClassVar

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"
os.environ["COLORTERM"] = "truecolor"

import numpy as np
from textual.drivers.headless_driver import HeadlessDriver
from textual.screen import Screen

from memscope.conversation.model import Conversation, Entry, Memory, Place, Role, Source, Span
from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.theme import palette
from memscope.tui.view import MatrixView, RowOrder
from memscope.tui.widgets.heatmap import Heatmap
from memscope.tui.workers import RowsChanged

LIMITS = {"mount": 200.0, "cursor right": 10.0, "cursor down": 10.0, "re-sort": 60.0}
"""Milliseconds that must not be exceeded."""


class CountingDriver(HeadlessDriver):
    """A terminal that counts bytes; not headless to Textual, so that every frame is rendered to the end."""

    written: ClassVar[int] = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        CountingDriver.written += len(data.encode())


class BenchmarkApp(MemscopeApp):
    """The whole Matrix screen over a matrix of random numbers; measures once it is up."""

    def __init__(self, memories: int, responses: int) -> None:
        session = Session(conversation(memories, responses))
        self.numbers = np.random.default_rng(3)
        for memory in range(memories):
            score_row(session.matrix, memory, self.numbers)
        super().__init__(session, score_at_once=False)
        self.driver_class = CountingDriver
        self.drawn = asyncio.Event()
        self.results: dict[str, dict[str, float]] = {}

    def post_display_hook(self) -> None:
        self.drawn.set()

    def _prepare(self) -> None:
        self.run_worker(self.measure())

    async def measure(self) -> None:
        """Fill `results` with the CPU in ms and the bytes of each step, then leave."""
        view, heatmap = self.view, self.screen.query_one(Heatmap)
        orders = itertools.cycle([RowOrder.CONVERSATION, RowOrder.WEIGHT])

        def resort() -> None:
            view.set_row_order(next(orders))
            heatmap.show_rows((), order_changed=True)

        def row_comes_in() -> None:
            memory = int(view.order[5])
            score_row(self.session.matrix, memory, self.numbers)
            self.on_rows_changed(RowsChanged(frozenset({memory})))

        steps: list[tuple[str, int, Callable[[], None]]] = [
            ("cursor right", 30, lambda: heatmap.action_move(0, 1)),
            ("cursor down", 30, lambda: heatmap.action_move(1, 0)),
            ("scroll right", 60, lambda: heatmap.action_move(0, 1)),
            ("scroll diagonally", 60, lambda: heatmap.action_move(1, 1)),
            ("re-sort", 40, resort),
            ("a row comes in", 40, row_comes_in),
        ]
        for name, times, action in steps:
            self.results[name] = summary([await self.step(action) for _ in range(times)], statistics.median)
        await self.push_screen(Screen())
        self.results["mount"] = summary([await self.mount_once() for _ in range(5)], min)
        self.exit()

    async def mount_once(self) -> tuple[float, int]:
        """Mount a heatmap and take it away again."""
        heatmap: Heatmap | None = None

        def mount() -> None:
            nonlocal heatmap
            heatmap = Heatmap(
                MatrixView(self.session.conversation, self.session.matrix, Metric.SIGNED), palette(self)
            )
            self.screen.mount(heatmap)

        cost = await self.step(mount)
        assert heatmap is not None
        await heatmap.remove()
        return cost

    async def step(self, action: Callable[[], None]) -> tuple[float, int]:
        """CPU in ms and bytes until nothing more is drawn."""
        await asyncio.sleep(0.03)
        self.drawn.clear()
        written, began = CountingDriver.written, time.process_time()
        action()
        await self.drawn.wait()
        spent = time.process_time()
        await asyncio.sleep(0.03)
        return (spent - began) * 1000, CountingDriver.written - written


def summary(runs: list[tuple[float, int]], typical: Callable[[list[float]], float]) -> dict[str, float]:
    """The typical and the worst CPU, and the median bytes."""
    spent = [ms for ms, _ in runs]
    return {
        "ms": typical(spent),
        "worst_ms": max(spent),
        "bytes": statistics.median(size for _, size in runs),
    }


def conversation(memories: int, responses: int) -> Conversation:
    """Memories spread over the first half of the turns."""
    entries: list[Entry] = []
    found: list[Memory] = []
    for turn in range(responses):
        for number in range(len(found), min(memories, 1 + 2 * memories * turn // responses)):
            text = f"Memory {number}: something the user said that matters for later answers."
            key = f"topic{number % 9}/memory-{number}"
            found.append(Memory(key, (Place(len(entries), Span(0, len(text))),)))
            entries.append(Entry(Role.SYSTEM, text, memory_key=key))
        entries.append(Entry(Role.USER, "And then?"))
        entries.append(Entry(Role.ASSISTANT, f"Answer {turn}: " + "what the agent said here. " * 8))
    return Conversation(tuple(entries), tuple(found), Source("random", "native", "random"))


def score_row(matrix: ScoreMatrix, memory: int, numbers: np.random.Generator) -> None:
    """Give a row new numbers: two thirds near zero, the rest of both signs."""
    responses = matrix.shape[1]
    drops = numbers.normal(0.4, 2.0, responses) * (numbers.random(responses) < 0.35)
    zero = np.zeros(1, np.float32)
    for response in np.flatnonzero(matrix.states[memory]).tolist():
        matrix.set_scored(memory, response, zero, np.array([-drops[response]], np.float32))


def main() -> None:
    """Print a table, or JSON; exit with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--memories", type=int, default=300)
    parser.add_argument("--responses", type=int, default=1000)
    parser.add_argument("--size", default="160x50")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    app = BenchmarkApp(options.memories, options.responses)
    app.run(size=(width, height))
    results = app.results
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        for name, numbers in results.items():
            limit = f"limit {LIMITS[name]:.0f}" if name in LIMITS else ""
            print(f"{name:<18} {numbers['ms']:7.1f} ms {numbers['bytes']:9,.0f} bytes  {limit}")
    raise SystemExit(any(results[name]["ms"] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
