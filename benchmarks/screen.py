"""What the matrix on the screen costs, by its size: opening, steps, pages, sorting, what comes in.

    python benchmarks/screen.py [--sizes 20x20,300x1000,1000x5000] [--window 120x36] [--keep]

Each size runs in a process of its own. `ms` is wall time from the call until the last byte for the terminal
is made, the median of many; `worst` the longest; `bytes` is what one such step sends to the terminal. `open`
is the time from a kept run in the store to the drawn heatmap. Peak memory is that of the whole process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from results import keep, table
from terminal_driving import CountingDriver, DrivenApp, summary

from memscope.conversation.model import Conversation, Entry, Memory, Place, Role, Source, Span
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.runs import RunInfo, Runs, RunState
from memscope.scoring.session import Session
from memscope.tui.opened import Opened
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.workers import RowsChanged

LIMITS = {
    "open": 1000.0,
    "cursor right": 30.0,
    "cursor down": 30.0,
    "page down": 30.0,
    "scroll right": 30.0,
    "sort rows": 150.0,
    "sort columns": 150.0,
}
"""Milliseconds that must not be exceeded at the largest size."""
_MEMORY = 400.0
"""Megabytes likewise."""


class BenchmarkApp(DrivenApp):
    """The whole Matrix screen over a kept run."""

    clock = staticmethod(time.perf_counter)
    patience = 1.0

    def __init__(self, session: Session, began: float) -> None:
        super().__init__(session)
        self.began = began

    def _prepare(self, opened: Opened) -> None:
        self.results["open"] = summary([((time.perf_counter() - self.began) * 1000, CountingDriver.written)])
        super()._prepare(opened)

    async def measure(self) -> None:
        """Fill `results` with the wall time and the bytes of each step, then leave."""
        screen = self.screen
        assert isinstance(screen, MatrixScreen)
        self.opened.prepare = lambda: None  # type: ignore[method-assign]  # no model: only what is drawn
        heatmap, view, numbers = screen.heatmap, self.opened.view, np.random.default_rng(5)

        def row_comes_in() -> None:
            row = int(view.order[min(5, len(view.order) - 1)])
            score_row(self.opened.session.matrix, row, numbers)
            self.on_rows_changed(RowsChanged(self.opened.work, frozenset({row})))

        def response_comes_in() -> None:
            self.adopt(longer(self.opened.session.conversation))

        steps: list[tuple[str, int, Callable[[], object]]] = [
            ("cursor right", 10, lambda: heatmap.action_move(0, 1)),
            ("cursor down", 10, lambda: heatmap.action_move(1, 0)),
            ("page down", 5, lambda: heatmap.action_page(1)),
            ("scroll right", 30, lambda: heatmap.action_move(0, 1)),
            ("scroll diagonally", 20, lambda: heatmap.action_move(1, 1)),
            ("sort rows", 12, screen.action_next_row_order),
            ("sort columns", 6, screen.action_next_column_order),
            ("metric", 6, screen.action_next_metric),
            ("unit", 6, screen.action_next_normalisation),
            ("next strongest", 6, lambda: screen.action_strongest(1)),
            ("zoom out", 2, lambda: screen.action_zoom(-1)),
            ("overview step", 10, lambda: heatmap.action_move(0, -1)),
            ("zoom in", 3, lambda: screen.action_zoom(1)),
            ("a row comes in", 20, row_comes_in),
            ("a response comes in", 5, response_comes_in),
        ]
        for name, times, action in steps:
            if costs := await self.steps(times, action):  # none at the end of a small matrix
                self.results[name] = summary(costs)
        self.exit()


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
        entries += turn_of(turn)
    return Conversation(tuple(entries), tuple(found), Source("random", "native", "random"))


def turn_of(turn: int) -> list[Entry]:
    return [
        Entry(Role.USER, "And then?"),
        Entry(Role.ASSISTANT, f"Answer {turn}: " + "what the agent said here. " * 8),
    ]


def longer(before: Conversation) -> Conversation:
    """The conversation with one more turn."""
    return replace(before, entries=(*before.entries, *turn_of(len(before.entries))))


def score_row(matrix: ScoreMatrix, memory: int, numbers: np.random.Generator) -> None:
    """Give a row new numbers: two thirds near zero, the rest of both signs."""
    responses = matrix.shape[1]
    drops = numbers.normal(0.4, 2.0, responses) * (numbers.random(responses) < 0.35)
    zero = np.zeros(1, np.float32)
    for response in np.flatnonzero(matrix.states[memory]).tolist():
        matrix.set_scored(memory, response, zero, np.array([-drops[response]], np.float32))


def keep_run(path: Path, memories: int, responses: int) -> int:
    """Keep a run of random numbers in a store at `path`; its number."""
    matrix = Session(conversation(memories, responses)).matrix
    numbers = np.random.default_rng(3)
    drops = numbers.normal(0.4, 2.0, matrix.shape) * (numbers.random(matrix.shape) < 0.35)
    possible = matrix.states != CellState.IMPOSSIBLE
    signed = np.where(possible, drops.astype(np.float32), np.nan)
    states = np.where(possible, CellState.SCORED, CellState.IMPOSSIBLE).astype(np.uint8)
    matrix.set_all(states, signed, np.maximum(signed, 0))
    matrix.noise[:], matrix.tokens[:] = 1e-4, 48
    runs = Runs(path)
    kept = runs.record(
        RunInfo(
            session="random", branch="", title="random", began=datetime.now(UTC), seconds=1.0,
            scorer="none", model="none", exact=True, metric=Metric.SIGNED, state=RunState.COMPLETE, reason="",
            scored=int(possible.sum()), failed=0, missing=0, tokens_computed=0, tokens_needed=0,
            cells_from_cache=0, requests=0, memories=memories, responses=responses,
            strongest=None, weight=None,
        ),
        matrix,
    )  # fmt: skip
    runs.close()
    assert kept is not None
    return kept.id


def run(path: Path, number: int, memories: int, responses: int, window: tuple[int, int]) -> dict[str, Any]:
    """Open a kept run and measure."""
    talk = conversation(memories, responses)
    began = time.perf_counter()
    session = Session(talk)
    session.matrix = Runs(path).matrix(number)
    app = BenchmarkApp(session, began)
    app.run(size=window)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"size": f"{memories}x{responses}", "window": list(window), "peak_mb": peak, "steps": app.results}


def drawn(result: dict[str, Any]) -> dict[str, Any]:
    """The table of one size."""
    rows = [
        [name, round(numbers["ms"], 1), round(numbers["worst_ms"], 1), round(numbers["bytes"])]
        for name, numbers in result["steps"].items()
    ]
    title = f"{result['size']} in {'x'.join(map(str, result['window']))}, peak {result['peak_mb']:.0f} MB"
    return table(title, ["step", "ms, median", "ms, worst", "bytes"], rows)


def main() -> None:
    """Print a table, and write JSON; exit with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="20x20,300x1000,1000x5000")
    parser.add_argument("--window", default="120x36")
    parser.add_argument("--keep", action="store_true", help="keep the figures in benchmarks/results/")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    window = tuple(map(int, options.window.split("x")))
    if options.one:
        memories, responses = map(int, options.sizes.split("x"))
        path, number = options.one
        print(json.dumps(run(Path(path), int(number), memories, responses, (window[0], window[1]))))
        return
    results = []
    for size in options.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.sqlite"
            number = keep_run(path, *map(int, size.split("x")))
            command = [sys.executable, __file__, "--sizes", size, "--window", options.window]
            ended = subprocess.run(
                [*command, "--one", str(path), str(number)], capture_output=True, text=True, check=True
            )
            results.append(json.loads(ended.stdout.splitlines()[-1]))
    too_much = []
    for result in results:
        print(f"\n{result['size']} in {options.window}, peak {result['peak_mb']:.0f} MB")
        for name, numbers in result["steps"].items():
            spent = f"{numbers['ms']:8.1f} ms {numbers['worst_ms']:8.1f} worst"
            print(f"  {name:<20}{spent} {numbers['bytes']:9,.0f} bytes")
            too_much += [name for limit in [LIMITS.get(name)] if limit and numbers["ms"] > limit]
        too_much += ["memory"] if result["peak_mb"] > _MEMORY else []
    if options.keep:
        keep({"sizes": results}, [drawn(result) for result in results])
    raise SystemExit(bool(too_much))


if __name__ == "__main__":
    main()
