"""How long it takes to list the sessions on a machine: 5,000 of four formats, 2 GB, in a folder of its own.

    python benchmarks/library.py [--sessions 5000] [--megabytes 2000] [--folder FOLDER] [--json]

The sessions are written into a temporary folder, which is deleted afterwards. Each scan runs in a process
of its own: cold with an empty index (and nothing of the files in memory, where the system allows that), warm
with the index that the cold one left. Targets: a first batch within 0.5 s, all within 5 s cold and 1 s warm,
at most 200 MB of memory.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BIG, BIG_SIZE = 8, 100_000_000
WORDS = ["the", "a", "memory", "agent", "test", "file", "reads", "writes", "parser", "café", "line", "fails"]
Lines = Iterator[bytes]


def text(random_: random.Random, size: int) -> str:
    """About so many characters of prose."""
    return " ".join(random_.choices(WORDS, k=max(1, size // 6)))


def line(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def turns(random_: random.Random) -> Iterator[tuple[str, str]]:
    """Endless turns: what is said is short, what tools give is long now and then."""
    while True:
        yield "user", text(random_, random_.choice((60, 300, 8000)))
        yield "assistant", text(random_, random_.choice((200, 1500)))


def claude_code(random_: random.Random, cwd: str) -> Lines:
    base = {"isSidechain": False, "userType": "external", "cwd": cwd, "sessionId": "s", "version": "2.1.80"}
    yield line({"type": "file-history-snapshot", "messageId": "m", "snapshot": {}})
    parent = None
    for number, (role, said) in enumerate(turns(random_)):
        content = said if role == "user" else [{"type": "text", "text": said}]
        message = {"role": role, "id": f"msg_{number}", "model": "claude-sonnet-5", "content": content}
        uuid = f"{number:032x}"
        stamp = "2026-01-01T00:00:00.000Z"
        record = {
            "parentUuid": parent,
            **base,
            "type": role,
            "message": message,
            "uuid": uuid,
            "timestamp": stamp,
        }
        yield line(record)
        parent = uuid


def codex(random_: random.Random, cwd: str) -> Lines:
    def item(payload: object, kind: str = "response_item") -> bytes:
        return line({"timestamp": "2026-01-01T00:00:00.000Z", "type": kind, "payload": payload})

    def message(role: str, said: str) -> bytes:
        return item({"type": "message", "role": role, "content": [{"type": "input_text", "text": said}]})

    yield item({"id": "x", "cwd": cwd, "base_instructions": {"text": text(random_, 15_000)}}, "session_meta")
    yield item({"cwd": cwd, "model": "gpt-5.2"}, "turn_context")
    yield message("user", f"# AGENTS.md instructions for {cwd}\n\n<INSTRUCTIONS>\nBe kind.\n</INSTRUCTIONS>")
    yield message("user", f"<environment_context>\n  <cwd>{cwd}</cwd>\n</environment_context>")
    for role, said in turns(random_):
        yield message(role, said)


def gemini(random_: random.Random, cwd: str) -> Lines:
    yield line({"sessionId": "g", "projectHash": hashlib.sha256(cwd.encode()).hexdigest(), "kind": "main"})
    for number, (role, said) in enumerate(turns(random_)):
        kind = "user" if role == "user" else "gemini"
        yield line({"id": f"m{number}", "type": kind, "content": said, "model": "gemini-3"})


def native(random_: random.Random, cwd: str) -> Lines:
    yield line({"role": "system", "content": f"You work in {cwd}."})
    for number, (role, said) in enumerate(turns(random_)):
        if number % 10 == 0:
            memory = {"role": "system", "content": text(random_, 100), "memory_key": f"fact/{number}"}
            yield line(memory)
        yield line({"role": role, "content": said, "timestamp": "2026-01-01T00:00:00Z"})


FORMATS: tuple[tuple[Callable[[random.Random, str], Lines], str], ...] = (
    (claude_code, "home/.claude/projects/-work-{project}/{number:08x}.jsonl"),
    (codex, "home/.codex/sessions/2026/{month:02}/{day:02}/rollout-{number}.jsonl"),
    (gemini, "home/.gemini/tmp/{project}/chats/session-{number}.jsonl"),
    (native, "logs/{project}/{number}.jsonl"),
)


def write(root: Path, sessions: int, size: int) -> int:
    """Write the sessions; how many bytes they are."""
    random_ = random.Random(0)
    big = min(BIG, size // (2 * BIG_SIZE))  # at most half of it
    shares = [random_.lognormvariate(0, 1.5) for _ in range(sessions - big)]
    sizes = [BIG_SIZE] * big + [(size - big * BIG_SIZE) * share / sum(shares) for share in shares]
    now, total = time.time(), 0
    for number, wanted in enumerate(sizes):
        form, pattern = FORMATS[number % len(FORMATS)]
        project = f"project-{random_.randrange(60)}"
        day, month = random_.randrange(1, 29), random_.randrange(1, 13)
        path = root / pattern.format(project=project, number=number, day=day, month=month)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with path.open("wb") as file:
            for at, record in enumerate(form(random.Random(number), f"/work/{project}")):
                written += file.write(record)
                if written >= wanted and at > 8:
                    break
        total += written
        moment = now - random_.expovariate(1 / 3e6)
        os.utime(path, (moment, moment))
    return total


def forget(root: Path) -> str:
    """Drop the files from memory; how far that went."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return "page cache, folders and inodes dropped"
    except OSError:
        pass
    if not hasattr(os, "posix_fadvise"):
        return "the page cache could not be dropped"
    for path in root.rglob("*.jsonl"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return "page cache of the files dropped"


def scan(root: Path) -> None:
    """One scan, as the screen makes it; prints what was measured."""
    from memscope.conversation.library import Library, places

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    here = root / "here"
    library = Library(root / "index.sqlite", places(here), here)
    first, sessions, unreadable, titled = None, 0, 0, 0
    for batch in library.scan(threading.Event()):
        first = first or time.perf_counter() - began
        sessions += len(batch)
        unreadable += sum(bool(listed.problem) for listed in batch)
        titled += sum(listed.title.split()[0] in WORDS for listed in batch)
    taken = time.perf_counter() - began
    library.close()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"sessions": sessions, "unreadable": unreadable, "titled": titled}
    print(json.dumps({"first": first, "all": taken, "rss_before_kb": before, "rss_kb": most, **found}))


def scanned(root: Path) -> dict[str, float]:
    """What a scan in a new process measured."""
    environment = {**os.environ, "HOME": str(root / "home"), "XDG_CONFIG_HOME": str(root / "config")}
    for name in (
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "HERMES_HOME",
        "OPENCLAW_STATE_DIR",
        "PI_CODING_AGENT_DIR",
    ):
        environment.pop(name, None)
    command = [sys.executable, __file__, "--scan", str(root)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scan is not None:
        scan(arguments.scan)
        return
    with tempfile.TemporaryDirectory(prefix="memscope-library-", dir=arguments.folder) as folder:
        root = Path(folder)
        configuration = root / "config" / "memscope" / "config.toml"
        for path in (configuration.parent, root / "here"):
            path.mkdir(parents=True)
        configuration.write_text(f"session_folders = [{json.dumps(str(root / 'logs'))}]\n")
        size = write(root, arguments.sessions, arguments.megabytes * 1_000_000)
        dropped = forget(root)
        cold, warm = scanned(root), scanned(root)
    result = {"bytes": size, "cold_means": dropped, "cold": cold, "warm": warm}
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{cold['sessions']:,} sessions, {size / 1e9:.2f} GB; cold: {dropped}")
    print("| scan | first batch | all | memory |")
    print("|---|---|---|---|")
    for name, found in (("cold", cold), ("warm", warm)):
        print(f"| {name} | {found['first']:.2f} s | {found['all']:.2f} s | {found['rss_kb'] / 1000:.0f} MB |")


if __name__ == "__main__":
    main()
