"""What a user feels, measured on a terminal of its own: start-up, first paint, keys while scoring runs.

    python benchmarks/terminal.py [--presses 100] [--json | --keep]

A key is pressed every 0.15 s while the demo is scored from an empty store; its latency is the time until the
line that says the cell under the cursor has changed on the terminal.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from results import keep

from memscope.scorers.embedded.pull import models_dir

COMMAND = [str(Path(sys.executable).with_name("memscope"))]


class Terminal:
    """A program on a pseudo-terminal of 120 x 36."""

    def __init__(self, arguments: list[str], cache: str) -> None:
        environment = os.environ | {
            "MEMSCOPE_CACHE_DIR": cache,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        self.began = time.perf_counter()
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execve(COMMAND[0], COMMAND + arguments, environment)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))

    def wait_for(self, pattern: str, timeout: float) -> float:
        """Seconds until `pattern` comes on the terminal from now on."""
        began, seen = time.perf_counter(), b""
        while time.perf_counter() - began < timeout:
            if select.select([self.file], [], [], 0.01)[0]:
                seen += os.read(self.file, 65536)
                if re.search(pattern.encode(), seen):
                    return time.perf_counter() - began
        raise TimeoutError(f"{pattern!r} did not come within {timeout} s")

    def send(self, keys: str) -> None:
        os.write(self.file, keys.encode())

    def close(self) -> None:
        self.send("q")
        deadline = time.perf_counter() + 10
        while time.perf_counter() < deadline and os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if select.select([self.file], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    os.read(self.file, 65536)


def help_seconds() -> float:
    began = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(cache: str, presses: int) -> dict[str, float]:
    paints = []
    for _ in range(3):
        terminal = Terminal(["demo"], cache)
        terminal.wait_for("memories by weight", 30)
        paints.append(time.perf_counter() - terminal.began)
        terminal.close()
    shutil.rmtree(cache, ignore_errors=True)
    os.makedirs(cache)
    (Path(cache) / "models").symlink_to(models_dir())
    terminal = Terminal(["demo"], cache)
    terminal.wait_for("scoring", 60)
    latencies, column = [], 1
    for press in range(presses):
        time.sleep(0.15)
        step = 1 if press // 10 % 2 == 0 else -1
        column += step
        terminal.send("l" if step > 0 else "h")
        latencies.append(terminal.wait_for(rf" x r{column}:", 5))
    terminal.close()
    latencies.sort()
    return {
        "help_seconds": round(statistics.median(help_seconds() for _ in range(9)), 3),
        "first_paint_seconds": round(statistics.median(paints), 3),
        "key_median_ms": round(1000 * statistics.median(latencies), 1),
        "key_p95_ms": round(1000 * latencies[int(0.95 * len(latencies))], 1),
        "key_max_ms": round(1000 * latencies[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presses", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the figures in benchmarks/results/")
    arguments = parser.parse_args()
    models = models_dir()
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder) / "cache")
        os.makedirs(cache)
        (Path(cache) / "models").symlink_to(models)
        figures = measure(cache, arguments.presses)
    if arguments.keep:
        keep(figures)
    print(json.dumps(figures) if arguments.json else "\n".join(f"{k:24} {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
