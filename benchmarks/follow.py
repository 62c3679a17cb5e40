"""Follow a file that another process writes 1,000 lines a second to: lost, twice, delay, CPU.

    python benchmarks/follow.py [--seconds 60] [--rate 1000] [--format native|claude-code] [--model]

The real screen (headless), a real file; the embedded model is only opened with --model. Every 500th line is a
memory. The delay is from a line's own timestamp to the moment when the app's conversation holds it. CPU is
that of the process with the screen, this measuring included. `steps` tell both for every 10,000 lines;
`grows_beyond` is how many lines there were before the first 1,000 whose 95th percentile was above half a
second.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from memscope.conversation.follow import Follower
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp

WRITER = """
import json, sys, time
path, seconds, rate, form = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
parent, begun, number = "0f", time.time(), 0
with open(path, "a") as file:
    while number < seconds * rate:
        while number < (time.time() - begun) * rate and number < seconds * rate:
            role, text = ("user", "assistant")[number % 2], f"line {number} at {time.time()!r}"
            if form == "native":
                record = {"role": role, "content": text}
                if number % 500 == 0:
                    record = {"role": "system", "content": text, "memory_key": f"memory {number // 500 % 20}"}
            else:
                record = {"uuid": str(number), "parentUuid": parent, "sessionId": "s", "type": role,
                          "message": {"role": role, "content": text}}
                if number % 500 == 0:
                    memory = {"path": f"memory-{number // 500 % 20}.md", "content": text}
                    record |= {"type": "attachment", "message": None,
                               "attachment": {"type": "relevant_memories", "memories": [memory]}}
                parent = str(number)
            file.write(json.dumps(record) + "\\n")
            number += 1
        file.flush()
        time.sleep(0.002)
"""


STEP, LIMIT = 10_000, 0.5
"""Lines in a step of the report, and the delay in seconds that is aimed at."""


@dataclass
class Measured:
    """`delays` in seconds by line, (lines seen, CPU seconds, wall seconds) at every look, lines that are not
    there exactly once."""

    delays: list[float] = field(default_factory=list)
    clocks: list[tuple[int, float, float]] = field(default_factory=list)
    wrong: int = 0

    def cpu(self, first: int, last: int) -> float:
        """The share of one core from line `first` to `last`."""
        begin, *_, end = [clock for clock in self.clocks if first <= clock[0] <= last]
        return round((end[1] - begin[1]) / (end[2] - begin[2]), 3)

    def percentiles(self, first: int, last: int) -> list[float]:
        """Median, 95th percentile and maximum of the delays of these lines."""
        found: list[float] = np.percentile(self.delays[first:last], (50, 95, 100)).round(3).tolist()
        return found

    def grows_beyond(self) -> int | None:
        """How many lines there were when following fell behind, None if it never did."""
        starts = range(0, len(self.delays), 1000)
        return next((at for at in starts if self.percentiles(at, at + 1000)[1] > LIMIT), None)


class WithoutModel(MemscopeApp):
    """Shows and follows, and never opens a model."""

    def _prepare(self) -> None:
        pass


async def follow(path: Path, writer: list[str], lines: int, *, model: bool) -> Measured:
    """Follow the file at `path` while the command `writer` adds `lines` lines to it."""
    follower = Follower(str(path))
    app = (MemscopeApp if model else WithoutModel)(Session(follower.open()), follower)
    measured = Measured()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause(0.5)
        process = subprocess.Popen(writer)
        deadline, seen = time.monotonic() + 600, 0
        measured.clocks.append((0, time.process_time(), time.monotonic()))
        while seen < lines and time.monotonic() < deadline:
            entries = app.opened.session.conversation.entries
            if len(entries) - 1 > seen:
                now = time.time()
                measured.delays += [
                    now - float(entry.text.rpartition(" ")[2]) for entry in entries[seen + 1 :]
                ]
                seen = len(entries) - 1
                measured.clocks.append((seen, time.process_time(), time.monotonic()))
            await asyncio.sleep(0.01)
        process.wait()
        numbers = [int(entry.text.split()[1]) for entry in app.opened.session.conversation.entries[1:]]
        measured.wrong = len(set(range(lines)) ^ set(numbers)) + len(numbers) - len(set(numbers))
        app.close()
    return measured


def main() -> None:
    """Print one JSON object and one line of a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--format", choices=("native", "claude-code"), default="native")
    parser.add_argument("--model", action="store_true", help="Open the embedded model.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        first = {"role": "user", "content": "first"}
        if options.format != "native":
            first = {"uuid": "0f", "parentUuid": None, "sessionId": "s", "type": "user", "message": first}
        path.write_text(json.dumps(first) + "\n")
        writer = [sys.executable, "-c", WRITER, str(path), str(options.seconds), str(options.rate)]
        lines = int(options.seconds * options.rate)
        measured = asyncio.run(follow(path, [*writer, options.format], lines, model=options.model))
    p50, p95, most = measured.percentiles(0, lines)
    cpu, beyond = measured.cpu(0, lines), measured.grows_beyond()
    report = {
        "format": options.format,
        "model": options.model,
        "lines": lines,
        "lost_or_twice": measured.wrong,
        "delay_p50_p95_max": [p50, p95, most],
        "cpu_of_one_core": cpu,
        "grows_beyond": beyond,
        "steps": [
            {
                "lines": [at, min(at + STEP, lines)],
                "delay_p50_p95_max": measured.percentiles(at, at + STEP),
                "cpu_of_one_core": measured.cpu(at, at + STEP),
            }
            for at in range(0, lines, STEP)
        ],
    }
    print(json.dumps(report))
    grown = "never" if beyond is None else f"{beyond:,}"
    print(f"| {options.format} | {lines:,} | {measured.wrong} | {p50} | {p95} | {most} | {cpu} | {grown} |")


if __name__ == "__main__":
    main()
