"""Damaged conversation files, read in portions and at once: each must read, or be refused in one sentence.

    python benchmarks/fuzz_readers.py [--minutes 1] [--seed 0] [--from FOLDER] [--failures FOLDER]

Valid files of every format, and those of a folder, are mutated until the time is over. A failure is anything
but a Conversation or an InputError of one sentence, portions that read otherwise than the whole, and an input
that takes too long. The exit status is 1 if there was one.
"""

import argparse
import collections
import contextlib
import json
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from memscope.conversation.model import Conversation
from memscope.conversation.readers import FORMATS, Reading
from memscope.errors import InputError

SECONDS = 2
"""How long an input below `SMALL` bytes may take, which includes reading it three times."""
SMALL = 100_000
LARGEST = 400_000
"""Larger files of a folder are cut to so many bytes."""

Json = dict[str, Any]
Outcome = Conversation | str

SAID = [
    {"role": "system", "content": 'Be kind. <memory key="tea">Likes tea.</memory>'},
    {"role": "user", "content": "Lives in Oslo.", "memory_key": "home", "memory_score": 0.5},
    {"role": "user", "content": [{"type": "text", "text": "Where am I?"}], "timestamp": 5},
    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "content": "42", "tool_call_id": "1", "name": "f"},
    {"role": "assistant", "content": "<think>Hm.</think> In Oslo."},
]


def _span(start: int, **attributes: Any) -> Json:
    named = {"gen_ai." + name.replace("_", "."): value for name, value in attributes.items()}
    return {"traceId": "t", "spanId": f"s{start}", "startTimeUnixNano": str(start), "attributes": named}


def _text(role: str, content: str) -> Json:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


ASKED = [_text("system", "Be kind."), _text("user", "Where am I?")]
CALLED = {
    "role": "assistant",
    "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}}],
}
GAVE = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"city": "Oslo"}}]}
SPANS = [
    _span(1, operation_name="search_memory", memory_records=[{"content": "Lives in Oslo.", "id": "home"}]),
    _span(2, input_messages=ASKED, output_messages=[CALLED], conversation_id="c"),
    _span(
        3, input_messages=json.dumps([*ASKED, CALLED, GAVE]), output_messages=[_text("assistant", "Oslo.")]
    ),
    _span(4, input_messages=[ASKED[1]], output_messages=[_text("assistant", "Oslo.")], response_id="r"),
]
OTLP = [
    {"key": key, "value": {"stringValue": value if isinstance(value, str) else json.dumps(value)}}
    for key, value in SPANS[1]["attributes"].items()
]
RECORDS: dict[str, list[Json]] = {
    "messages": SAID,
    "claude-code": [
        {"type": "summary", "summary": "Oslo"},
        {
            "uuid": "1", "parentUuid": None, "sessionId": "s", "type": "attachment",
            "attachment": {"type": "relevant_memories", "memories": [{"path": "a.md", "content": "Oslo."}]},
        },
        {
            "uuid": "2", "parentUuid": "1", "sessionId": "s", "type": "user", "cwd": "/tmp",
            "message": {"role": "user", "content": "Where am I?"},
        },
        {
            "uuid": "3", "parentUuid": "2", "sessionId": "s", "type": "assistant",
            "message": {"id": "m", "role": "assistant", "model": "c", "content": [
                {"type": "text", "text": "Hm."}, {"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        },
        {"uuid": "4", "parentUuid": "3", "sessionId": "s", "type": "system", "subtype": "compact_boundary"},
        {
            "uuid": "5", "parentUuid": "4", "sessionId": "s", "type": "user",
            "message": {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "Oslo"}]}]},
        },
    ],
    "codex": [
        {"type": "session_meta", "payload": {"id": "s", "cwd": "/tmp"}},
        {"type": "response_item", "payload": {"type": "message", "role": "user", "content": "Hi"}},
        {"type": "response_item", "payload": {"type": "function_call", "name": "f", "arguments": "{}"}},
        {"type": "response_item", "payload": {"type": "function_call_output", "call_id": "1", "output": "x"}},
        {"type": "compacted", "payload": {"message": "So far.", "replacement_history": []}},
        {"type": "event_msg", "payload": {"type": "thread_rolled_back", "num_turns": 1}},
    ],
    "gemini": [
        {"sessionId": "s", "projectHash": "p"},
        {"id": "1", "type": "user", "content": [{"text": "Hi"}]},
        {"id": "2", "type": "gemini", "content": "Yes", "toolCalls": [{"name": "f", "result": [1]}]},
        {"$rewindTo": "2"},
    ],
    "pi": [
        {"type": "session", "id": "s", "version": 3, "cwd": "/tmp"},
        {"type": "message", "id": "1", "parentId": None, "message": {"role": "user", "content": "Hi"}},
        {"type": "message", "id": "2", "parentId": "1", "message": {"role": "assistant", "content": [
            {"type": "text", "text": "Yes"}, {"type": "toolCall", "id": "t", "name": "f", "arguments": {}}]}},
        {"type": "compaction", "id": "3", "parentId": "2", "summary": "So far.", "firstKeptEntryId": "2"},
        {"type": "message", "id": "4", "parentId": "3", "message": {"role": "user", "content": "Go on"}},
        {"type": "message", "id": "5", "parentId": "1", "message": {"role": "assistant", "content": "No"}},
    ],
    "otel": SPANS,
    "otlp": [{"resourceSpans": [{"scopeSpans": [{"spans": [{**SPANS[1], "attributes": OTLP}]}]}]}],
    "langchain": [
        {"type": "human", "data": {"content": "Where am I?", "id": "1"}},
        {"type": "ai", "data": {"content": [{"type": "thinking", "thinking": "Hm"}], "tool_calls": [
            {"name": "f", "args": {"a": 1}, "id": "c"}]}},
        {"type": "tool", "content": "Oslo", "tool_call_id": "c"},
        {"lc": 1, "type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": "Oslo"}},
        {"type": "remove", "data": {"content": "", "id": "1"}},
    ],
    "branches": [
        {"Branch": {"role": "User", "children": [{"Leaf": {"body": {"Content": "Hi"}}}]}},
        {"Branch": {"role": "Assistant", "children": [
            {"Leaf": {"body": {"Memory": {"key": "home", "text": "Oslo", "score": 0.5}}}},
            {"Leaf": {"body": {"Thinking": "Hm"}}}, {"Leaf": {"body": {"ToolCall": {"name": "f"}}}},
            {"Leaf": {"body": {"ToolResult": {"text": "x"}}}}, {"Leaf": {"body": {"Content": "Oslo"}}}]}},
    ],
}  # fmt: skip
TURNS = [{"from": "human", "value": "Where am I?"}, {"from": "gpt", "value": "In Oslo."}]
ODD = [
    None, True, 0, -1, 1e308, 2**70, "", "\0", "\u202e\ud83d\ude00", "a\u0301" * 9, "</memory>", "<think>",
    [], {}, [[]], [None], {"a": None}, "{", '[{"role": 1}]', "x" * 5000, "1" * 400,
]  # fmt: skip


def samples() -> list[bytes]:
    """Valid files: every format a record a line, and as a document where it may be one."""
    whole: list[Any] = [
        SAID, {"messages": SAID}, SPANS, {"spans": SPANS}, RECORDS["langchain"],
        {"values": {"messages": RECORDS["langchain"]}}, {"conversations": TURNS},
        {**RECORDS["gemini"][0], "messages": RECORDS["gemini"][1:3]},
    ]  # fmt: skip
    inline = ["".join(json.dumps(record) + "\n" for record in records) for records in RECORDS.values()]
    return [text.encode() for text in (*inline, *(json.dumps(each, indent=1) for each in whole))]


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One file with a few things wrong with it."""
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3, 6])):
        data = chance.choice(MUTATIONS)(data, others, chance)
    return data


def _bytes_flipped(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    found = bytearray(data)
    for _at in range(min(len(found), chance.randint(1, 8))):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


def _cut(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    start, end = sorted(chance.choices(range(len(data) + 1), k=2))
    return chance.choice([data[:end], data[start:], data[:start] + data[end:]])


def _spliced(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    other = chance.choice(others)
    at = chance.randint(0, len(data))
    return data[:at] + other[chance.randint(0, len(other)) :]


def _lines_mixed(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    match chance.randrange(5):
        case 0:
            chance.shuffle(lines)
        case 1:
            lines += chance.choices(lines, k=chance.randint(1, 5))
        case 2:
            lines.insert(
                chance.randint(0, len(lines)), chance.choice([b"", b"\r", b"\0\0", b"{", b"[1]", b"7"])
            )
        case 3:
            more = chance.choice(others).split(b"\n")
            at = chance.randint(0, len(lines))
            lines[at:at] = chance.choices(more, k=min(len(more), 4))
        case _:
            del lines[chance.randrange(len(lines))]
    return b"\n".join(lines)


def _values_changed(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    """Some JSON value or name in it is another one."""
    lines = data.split(b"\n")
    try:
        value, at = json.loads(data), None
    except (ValueError, RecursionError):
        at = chance.randrange(len(lines))
        try:
            value = json.loads(lines[at])
        except (ValueError, RecursionError):
            return data
    places = list(_places(value))
    if not places:
        return data
    holder, key = chance.choice(places)
    match chance.randrange(6):
        case 0 if isinstance(holder, dict):
            holder[chance.choice([key + "x", "type", "role", "content", "messages", ""])] = holder.pop(key)
        case 1:
            held = holder[key]
            for _depth in range(chance.choice([3, 30, 300])):
                held = chance.choice([[held], {"content": held}])
            holder[key] = held
        case 2:
            other, name = chance.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        case 3:
            del holder[key]
        case _:
            holder[key] = chance.choice(ODD)
    try:
        written = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    except RecursionError:
        return data
    if at is None:
        return written
    lines[at] = written
    return b"\n".join(lines)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict | list):
            for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
                yield holder, key
                waiting.append(holder[key])


MUTATIONS: list[Callable[[bytes, list[bytes], random.Random], bytes]] = [
    _bytes_flipped, _cut, _spliced, _lines_mixed, _lines_mixed,
    _values_changed, _values_changed, _values_changed, _values_changed,
]  # fmt: skip


class FailedError(Exception):
    """What a reader must not do."""


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises FailedError in the block if it takes longer."""

    def ring(*_: object) -> None:
        raise FailedError(f"took more than {seconds:g} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def read(portions: list[bytes], looking: bool = False) -> Outcome:
    """The conversation, or the sentence that refuses it; if `looking`, asked for after every portion too."""
    reading = Reading(FORMATS, "log", "log")
    for portion in portions:
        reading.feed(portion)
        if looking:
            outcome(reading)
    reading.finish()
    return outcome(reading)


def outcome(reading: Reading) -> Outcome:
    """What a reading says now. Raises FailedError if it is refused otherwise than in a sentence."""
    try:
        found = reading.conversation()
    except InputError as error:
        told = str(error)
        if "\n" in told or not told.startswith("log") or not told.endswith("."):
            raise FailedError(f"refused with {told!r}") from error
        return told
    for branch in found.source.branches[:3]:
        if reading.conversation(branch.id).source.branch != branch.id:
            raise FailedError(f"branch {branch.id!r} can't be read")
    return found


def check(data: bytes, chance: random.Random) -> Outcome:
    """Read an input in every way. Raises FailedError."""
    edges = sorted(chance.choices(range(len(data) + 1), k=chance.randint(1, 8)))
    portions = [data[start:end] for start, end in zip([0, *edges], [*edges, len(data)], strict=True)]
    seconds = SECONDS if len(data) < SMALL else SECONDS * len(data) / SMALL
    try:
        with alarm(seconds):
            whole = read([data])
            if read(portions) != whole:
                raise FailedError("portions read otherwise than the whole")
            if read(portions, looking=True) != whole:
                raise FailedError("looked at in between it reads otherwise")
    except FailedError:
        raise
    except Exception as error:
        raise FailedError("".join(traceback.format_exception(error))) from error
    return whole


def main() -> int:
    """Mutate and read until the time is over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="folder", type=Path, help="mutate the files of this folder too")
    parser.add_argument("--failures", type=Path, help="write inputs here, one of each failure")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    valid = samples()
    for data in valid:
        if isinstance(found := read([data]), str) or found.source.notes:
            raise SystemExit(
                f"A sample does not read: {found if isinstance(found, str) else found.source.notes}"
            )
    if arguments.folder is not None:
        files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
        valid += [path.read_bytes()[:LARGEST] for path in files]
    counts: collections.Counter[str] = collections.Counter()
    formats: collections.Counter[str] = collections.Counter()
    told: set[str] = set()
    end = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < end:
        data = mutated(chance.choice(valid), valid, chance)
        try:
            found = check(data, chance)
        except FailedError as failure:
            counts["failed"] += 1
            last = str(failure).strip().splitlines()[-1]
            if last not in told:
                told.add(last)
                print(f"{len(data):,} bytes: {failure}", file=sys.stderr)
                if arguments.failures is not None:
                    arguments.failures.mkdir(parents=True, exist_ok=True)
                    (arguments.failures / f"{arguments.seed}-{counts.total()}").write_bytes(data)
            continue
        counts["refused" if isinstance(found, str) else "read"] += 1
        if not isinstance(found, str):
            formats[found.source.format] += 1
    total = f"{counts.total():,} inputs: {counts['read']:,} read, {counts['refused']:,} refused"
    print(f"{total}, {counts['failed']:,} failed")
    print(", ".join(f"{name} {count:,}" for name, count in formats.most_common()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
