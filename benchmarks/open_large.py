"""Open a very large session on a terminal of its own: seconds to the first screen, CPU seconds, peak memory.

    python benchmarks/open_large.py [--megabytes 200] [--format native|claude-code] [--repeat 3]

The clock starts with the process and stops when the line with the title has come on the terminal; the program
is then ended, before it opens a model. Linux only: CPU and memory are read from /proc. The files are made in
the temporary folder and deleted.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from terminal import Terminal

TARGET = 3.0
"""Seconds."""
TITLE = r"\d memories x [1-9]"
SPARE = 2.0
"""So many times its size must be free where a file is made."""
WORDS = [
    "the",
    "train",
    "to",
    "Lyon",
    "leaves",
    "at",
    "seven",
    "and",
    "comes",
    "back",
    "later",
    "than",
    "planned",
]


def text(rng: random.Random, size: int) -> str:
    """About `size` characters in lines, as prose and listings have them."""
    words = rng.choices(WORDS, k=size // 5)
    return "\n".join(" ".join(words[at : at + 14]) for at in range(0, len(words), 14))


def native(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Turns of a user and an assistant; a memory every 250 turns, of 40."""
    turn = 0
    while True:
        if turn % 250 == 0:
            key = f"memory-{turn // 250 % 40}"
            yield {"role": "system", "content": text(rng, 300), "memory_key": key}
        yield {"role": "user", "content": text(rng, 500)}
        yield {"role": "assistant", "content": text(rng, 3000)}
        turn += 1


def claude_code(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Turns of a prompt, a text with a call and its result, which the program writes twice, and an answer."""
    number, turn, parent = 0, 0, None

    def record(kind: str, **more: Any) -> dict[str, Any]:
        nonlocal number, parent
        number += 1
        before, parent = parent, f"00000000-0000-4000-8000-{number:012}"
        shared = {"sessionId": "s", "cwd": "/home/user/project", "version": "2.0.0", "isSidechain": False}
        stamp = f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        return {"parentUuid": before, "uuid": parent, "type": kind, "timestamp": stamp, **shared, **more}

    def said(kind: str, content: Any, id_: str | None = None) -> dict[str, Any]:
        return {"role": kind, "content": content} | ({"id": id_, "model": "a-model"} if id_ else {})

    while True:
        if turn % 250 == 0:
            held = [{"path": f"/home/user/memory-{turn // 250 % 40}.md", "content": text(rng, 300)}]
            yield record("attachment", attachment={"type": "relevant_memories", "memories": held})
        yield record("user", message=said("user", text(rng, 500)))
        call, result = f"toolu_{turn}", text(rng, 3000)
        yield record(
            "assistant", message=said("assistant", [{"type": "text", "text": text(rng, 600)}], f"m{turn}")
        )
        use = {"type": "tool_use", "id": call, "name": "Read", "input": {"file_path": "notes.md"}}
        yield record("assistant", message=said("assistant", [use], f"m{turn}"))
        answer = {"type": "tool_result", "tool_use_id": call, "content": result}
        yield record("user", message=said("user", [answer]), toolUseResult={"stdout": result})
        yield record(
            "assistant", message=said("assistant", [{"type": "text", "text": text(rng, 900)}], f"n{turn}")
        )
        turn += 1


def write(path: Path, form: str, size: int) -> int:
    """Write a session of at least `size` bytes; its number of lines."""
    if shutil.disk_usage(path.parent).free < SPARE * size:
        sys.exit(f"{path.parent} has too little room for a file of {size / 1e6:,.0f} MB.")
    lines = written = 0
    records = (native if form == "native" else claude_code)(random.Random(0))
    with path.open("w") as file:
        while written < size:
            written += file.write(json.dumps(next(records)) + "\n")
            lines += 1
    return lines


def first_screen(path: Path, cache: str) -> tuple[float, float, float]:
    """Seconds to the first screen, CPU seconds and peak memory in MB up to there."""
    terminal = Terminal([str(path)], cache)
    try:
        terminal.wait_for(TITLE, 120)
        seconds = time.perf_counter() - terminal.began
        process = Path(f"/proc/{terminal.pid}")
        ticks = [
            int(field) for field in process.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
        ]
        status = process.joinpath("status").read_text()
    finally:
        os.kill(terminal.pid, signal.SIGKILL)
        os.waitpid(terminal.pid, 0)
        os.close(terminal.file)
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return seconds, sum(ticks) / os.sysconf("SC_CLK_TCK"), peak


def main() -> None:
    """Print one JSON object and one line of a table for each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--format", choices=("native", "claude-code"), action="append")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for form in options.format or ("native", "claude-code"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "session.jsonl"
            lines = write(path, form, int(options.megabytes * 1e6))
            runs = [first_screen(path, str(Path(folder) / "cache")) for _ in range(options.repeat)]
        seconds, cpu, peak = (round(statistics.median(column), 2) for column in zip(*runs, strict=True))
        report = {
            "format": form,
            "megabytes": options.megabytes,
            "lines": lines,
            "first_screen_seconds": [round(run[0], 2) for run in runs],
            "cpu_seconds": cpu,
            "peak_megabytes": peak,
            "within_target": seconds <= TARGET,
        }
        print(json.dumps(report))
        print(f"| {form} | {options.megabytes:g} MB | {lines:,} | {seconds} s | {cpu} s | {peak:,.0f} MB |")


if __name__ == "__main__":
    main()
