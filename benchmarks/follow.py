"""Follow a file that another process writes 1,000 lines a second to: lost, twice, delay, CPU.

    python benchmarks/follow.py [--seconds 60] [--rate 1000] [--format native|claude-code]

The real screen (headless), a real file, no model. The delay is from a line's own timestamp to the moment when
the app's conversation holds it.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
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
                parent = str(number)
            file.write(json.dumps(record) + "\\n")
            number += 1
        file.flush()
        time.sleep(0.002)
"""


async def follow(path: Path, writer: list[str], lines: int) -> tuple[list[float], float, float, int]:
    """Delays in seconds, CPU seconds, wall seconds, entries that are not exactly once there."""
    follower = Follower(str(path))
    app = MemscopeApp(Session(follower.open()), follower)
    delays: list[float] = []
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause(0.5)
        cpu, begun = time.process_time(), time.monotonic()
        process = subprocess.Popen(writer)
        seen = 1
        while seen <= lines and (process.poll() is None or time.monotonic() - begun < 600):
            entries = app.opened.session.conversation.entries
            now = time.time()
            delays += [now - float(entry.text.rpartition(" ")[2]) for entry in entries[seen:]]
            seen = len(entries)
            await asyncio.sleep(0.01)
        wall, cpu = time.monotonic() - begun, time.process_time() - cpu
        numbers = [int(entry.text.split()[1]) for entry in app.opened.session.conversation.entries[1:]]
        wrong = len(set(range(lines)) ^ set(numbers)) + len(numbers) - len(set(numbers))
        app.close()
    return delays, cpu, wall, wrong


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--format", choices=("native", "claude-code"), default="native")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        first = {"role": "user", "content": "first"}
        if options.format != "native":
            first = {"uuid": "0f", "parentUuid": None, "sessionId": "s", "type": "user", "message": first}
        path.write_text(json.dumps(first) + "\n")
        writer = [sys.executable, "-c", WRITER, str(path), str(options.seconds), str(options.rate)]
        lines = int(options.seconds * options.rate)
        delays, cpu, wall, wrong = asyncio.run(follow(path, [*writer, options.format], lines))
    percentiles = np.percentile(delays, (50, 95, 100)).round(3).tolist()
    print(
        json.dumps(
            {
                "format": options.format,
                "lines": lines,
                "lost_or_twice": wrong,
                "delay_p50_p95_max": percentiles,
                "cpu_of_one_core": round(cpu / wall, 3),
                "seconds": round(wall, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
