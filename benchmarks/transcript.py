"""CPU of the Transcript screen by a conversation's size: mount, steps, unfolding, values and entries to come.

    python benchmarks/transcript.py [--entries 1000 10000 100000] [--memories 100] [--size 120x36] [--json]

Process CPU from the call until the last byte for the terminal is made, in milliseconds, the median of many
(mount: the best of three, in a running app). `bytes` is what one such step sends to the terminal. `memory` is
what the widget holds after all steps, in MB, of which Python knows.
"""

import argparse
import asyncio
import gc
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from terminal_driving import Cost, DrivenApp, summary
from textual.screen import Screen

from memscope.conversation.model import Conversation, Entry, Memory, Place, Role, Source, Span, ToolCall
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.session import Session
from memscope.tui.theme import palette
from memscope.tui.transcript.tree import Transcript
from memscope.tui.view import MatrixView
from memscope.tui.widgets.transcript_view import TranscriptView

LIMITS = {
    "mount": 1000.0,
    "step": 30.0,
    "page": 30.0,
    "wheel": 30.0,
    "unfold": 30.0,
    "next response": 30.0,
    "a row comes in": 60.0,
    "page, all unfolded": 30.0,
}
"""Milliseconds that must not be exceeded at any size."""
SENTENCE = "What was said here is of no importance, but it has the length and the words of a usual sentence. "


class BenchmarkApp(DrivenApp):
    """The Transcript screen over a conversation with random numbers."""

    clock = staticmethod(time.process_time)

    def __init__(self, entries: int, memories: int) -> None:
        self.talk = conversation(entries, memories)
        session = Session(without_last_turns(self.talk))
        self.numbers = np.random.default_rng(3)
        fill(session.matrix, self.numbers)
        super().__init__(session)
        self.alone: list[Cost] = []

    async def measure(self) -> None:
        """Fill `results` with the CPU in ms and the bytes of each step, then leave."""
        await self.push_screen(Screen())
        mounts = [await self.mount_once() for _ in range(3)]
        self.results["mount"] = summary(mounts, min)
        await self.pop_screen()
        self.action_mode("transcript")
        await asyncio.sleep(0.3)
        shown, view = self.screen.query_one(TranscriptView), self.opened.view
        shown.action_move(-(10**9))

        def row_comes_in() -> None:
            memory = int(self.numbers.integers(view.matrix.shape[0]))
            score_row(view.matrix, memory, self.numbers)
            view.update([memory])
            shown.show_rows([memory])

        def unfold() -> None:
            shown.action_next(1)
            shown.action_unfold()

        def jump() -> None:
            shown.scroll_to(y=int(self.numbers.integers(shown.max_scroll_y)), animate=False)

        steps: list[tuple[str, int, Callable[[], object]]] = [
            ("step", 60, lambda: shown.action_move(1)),
            ("page", 40, lambda: shown.action_page(1)),
            ("wheel", 40, lambda: shown.scroll_relative(y=3, animate=False)),
            ("jump", 20, jump),
            ("unfold", 30, unfold),
            ("next response", 40, lambda: shown.action_next(1)),
            ("a row comes in", 20, row_comes_in),
            ("unfold all", 3, shown.action_unfold_all),
            ("page, all unfolded", 40, lambda: shown.action_page(1)),
            ("jump, all unfolded", 20, jump),
        ]
        for name, times, action in steps:
            self.results[name] = summary(await self.steps(times, action))
        self.results["an entry comes in"] = summary(await self.steps(10, self.grow))
        self.results["  the widget's part of it"] = summary(self.alone)
        before = time.process_time()
        await asyncio.sleep(2)
        self.results["idle, a second"] = summary([((time.process_time() - before) * 500, 0)], min)
        self.exit()

    def grow(self) -> None:
        """One more entry, as it comes from a followed file."""
        view = self.opened.view
        count = len(view.conversation.entries) + 1
        longer = Conversation(self.talk.entries[:count], self.talk.memories, self.talk.source)
        matrix = Session(longer).matrix
        responses = min(view.matrix.shape[1], matrix.shape[1])
        matrix.take_over(view.matrix, range(matrix.shape[0]), responses)
        view.adopt(longer, matrix)
        began = time.process_time()
        self.screen.query_one(TranscriptView).show_conversation(palette(self))
        self.alone.append(((time.process_time() - began) * 1000, 0))

    async def mount_once(self) -> Cost:
        """Mount a transcript and take it away again."""
        shown: TranscriptView | None = None

        def mount() -> None:
            nonlocal shown
            shown = TranscriptView(self.opened.view, palette(self))
            self.screen.mount(shown)

        cost = await self.step(mount)
        assert shown is not None
        assert cost is not None
        await shown.remove()
        return cost


def conversation(count: int, memories: int) -> Conversation:
    """Turns of four entries: question, call, its result, answer; memories spread over the first half."""
    numbers = np.random.default_rng(5)
    lengths = numbers.geometric(0.12, count).tolist()
    entries: list[Entry] = []
    found: list[Memory] = []
    while len(entries) < count:
        number = len(found)
        if number < memories and len(entries) * 2 * memories >= number * count:
            text = f"Memory {number}: something the user said that matters for later answers."
            key = f"topic{number % 9}/memory-{number}"
            found.append(Memory(key, (Place(len(entries), Span(0, len(text))),)))
            entries.append(Entry(Role.SYSTEM, text, memory_key=key))
            continue
        length = lengths[len(entries) % count]
        match len(entries) % 4:
            case 0:
                entries.append(Entry(Role.USER, "And then?"))
            case 1:
                call = ToolCall("search", json.dumps({"query": SENTENCE, "most": length}))
                entries.append(Entry(Role.ASSISTANT, SENTENCE * (length % 3), (call,)))
            case 2:
                entries.append(Entry(Role.TOOL, f"{SENTENCE}\n" * length * 2, name="search"))
            case _:
                entries.append(Entry(Role.ASSISTANT, SENTENCE * length))
    return Conversation(tuple(entries), tuple(found), Source("random", "native", "random"))


def without_last_turns(talk: Conversation) -> Conversation:
    """The same without the last twelve entries, which come in later."""
    return Conversation(talk.entries[:-12], talk.memories, talk.source)


def fill(matrix: ScoreMatrix, numbers: np.random.Generator) -> None:
    """Score every possible cell: nine in ten hardly matter."""
    drops = numbers.normal(0.4, 2.0, matrix.shape) * (numbers.random(matrix.shape) < 3 / matrix.shape[0])
    possible = matrix.states != CellState.IMPOSSIBLE
    drops[~possible] = np.nan
    matrix.set_all(np.where(possible, CellState.SCORED, matrix.states).astype(np.uint8), drops, np.abs(drops))
    matrix.noise[:] = 1e-4


def score_row(matrix: ScoreMatrix, memory: int, numbers: np.random.Generator) -> None:
    """Give a row new numbers."""
    possible = np.flatnonzero(matrix.states[memory])
    values = matrix.values(Metric.SIGNED)
    values[memory, possible] = numbers.normal(0.4, 2.0, len(possible)) * (numbers.random(len(possible)) < 0.1)


def memory_of_model(entries: int, memories: int) -> float:
    """MB that Python and numpy allot for a transcript that was walked through and unfolded as a whole."""
    session = Session(conversation(entries, memories))
    view = MatrixView(session.conversation, session.matrix, Metric.SIGNED)
    gc.collect()
    tracemalloc.start()
    transcript = Transcript(view)
    for level in range(4):
        for line in range(0, transcript.height, max(1, transcript.height // 300)):
            transcript.lines(transcript.spot_at(line), 30)
        if level < 3:
            transcript.unfold_all()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6


def main() -> None:
    """Print a table for each size, or JSON; exit with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--memories", type=int, default=100)
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    results: dict[str, dict[str, dict[str, float]]] = {}
    for entries in options.entries:
        app = BenchmarkApp(entries, options.memories)
        app.run(size=(width, height))
        results[str(entries)] = app.results
        if not options.json:
            print(f"{entries:,} entries, {options.memories} memories, {options.size}")
            for name, numbers in app.results.items():
                limit = f"limit {LIMITS[name]:.0f}" if name in LIMITS else ""
                print(
                    f"  {name:<36} {numbers['ms']:7.1f} ms, worst {numbers['worst_ms']:7.1f}"
                    f" {numbers['bytes']:9,.0f} bytes  {limit}"
                )
            print(f"  {'memory of the tree':<36} {memory_of_model(entries, options.memories):7.1f} MB")
    if options.json:
        print(json.dumps(results, indent=1))
    slow = [size for size, found in results.items() for name in LIMITS if found[name]["ms"] > LIMITS[name]]
    raise SystemExit(bool(slow))


if __name__ == "__main__":
    main()
