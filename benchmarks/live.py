"""Live: a conversation scored after each turn, with kept branches, with prefix reuse only, and without reuse.

    python benchmarks/live.py [--turns 20] [--memories 20] [--layout front|spread] [--scorer embedded]
                              [--ways kept,prefix,none] [--kv-budget SIZE] [--seed 1] [--keep]

A turn is a question and an answer of seeded words out of the shipped conversation; the memories stand in
front of all turns, or one at each turn from the first on. All ways take turns turn by turn on the same model,
so that whatever else the machine does meets all; they differ in the scorer alone. `kept` has the budget that
is asked for, `prefix` one of 0, `none` computes every prompt from its first token. `seconds` is wall time and
`processor` that of the process; what scoring after a turn takes besides the model is in both. The largest
difference between a cell's numbers in two ways is given in nats.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from results import keep, table

from memscope.activity import Activities
from memscope.conversation.model import Conversation
from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.scorers.base import Scorer
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.session import Session
from memscope.settings import scorer_choice

QUESTION, ANSWER, MEMORY = 18, 36, 22
"""Words of a question, an answer, and a memory."""
WAYS = ("kept", "prefix", "none")


@dataclass
class Spent:
    """What a way has cost so far: tokens through the model, seconds, seconds of processor, bytes kept."""

    tokens: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    kept_bytes: int = 0


def conversation(lines: list[dict[str, str]], folder: Path) -> Conversation:
    path = folder / "live.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return read_conversation(str(path))


def growing(turns: int, memories: int, layout: str, seed: int) -> list[list[dict[str, str]]]:
    """The lines of the conversation after each turn."""
    words = [
        word
        for line in demo_path().read_text("utf-8").splitlines()
        for word in json.loads(line)["content"].split()
    ]
    draw = random.Random(seed)

    def text(length: int) -> str:
        return " ".join(draw.choices(words, k=length))

    facts = [
        {"role": "system", "content": text(MEMORY), "memory_key": f"memory/{number}"}
        for number in range(memories)
    ]
    lines: list[dict[str, str]] = [{"role": "system", "content": "You are a helpful assistant."}]
    if layout == "front":
        lines += facts
    after: list[list[dict[str, str]]] = []
    for turn in range(turns):
        if layout == "spread":
            lines += facts[turn * memories // turns : (turn + 1) * memories // turns]
        lines += [{"role": "user", "content": text(QUESTION)}, {"role": "assistant", "content": text(ANSWER)}]
        after.append(list(lines))
    return after


def scorer_of(way: str, arguments: argparse.Namespace, folder: Path) -> Scorer:
    budget = scorer_choice(kv_budget=arguments.kv_budget).kv_budget if way == "kept" else 0
    if arguments.scorer == "transformers":
        from memscope.scorers.transformers import TransformersScorer

        return TransformersScorer(folder, device="cpu", reuse=way != "none", kv_budget=budget)
    return EmbeddedScorer(ModelFolder(folder), reuse=way != "none", kv_budget=budget)


async def score_turn(session: Session, talk: Conversation, spent: Spent) -> None:
    """Show the session a conversation that has grown, and score what is new."""
    assert session.scorer is not None
    before, began, worked = session.scorer.tokens_computed, time.perf_counter(), time.process_time()
    session.adopt(talk)
    await session.prepare()
    async with aclosing(session.score()) as changes:
        async for _ in changes:
            pass
    spent.seconds += time.perf_counter() - began
    spent.processor += time.process_time() - worked
    spent.tokens += session.scorer.tokens_computed - before
    spent.kept_bytes = getattr(session.scorer, "bytes_kept", 0)


async def measure(arguments: argparse.Namespace, folder: Path, temporary: Path) -> dict[str, Any]:
    ways = arguments.ways.split(",")
    steps = growing(arguments.turns, arguments.memories, arguments.layout, arguments.seed)
    talks = [conversation(lines, temporary) for lines in steps]
    sessions: dict[str, Session] = {}
    for way in ways:
        scorer = scorer_of(way, arguments, folder)

        async def opened(*_: Any, scorer: Scorer = scorer) -> Scorer:
            return scorer

        sessions[way] = Session(talks[0])
        with mock.patch.multiple(
            "memscope.scoring.session", open_scorer=opened, cache_dir=lambda way=way: temporary / way
        ):
            await sessions[way].prepare()
    spent = {way: Spent() for way in ways}
    growth = []
    for turn, talk in enumerate(talks):
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            await score_turn(sessions[way], talk, spent[way])
        growth.append({way: asdict(spent[way]) for way in ways})
        print(
            f"turn {turn + 1}: " + ", ".join(f"{w} {s.seconds:.1f} s" for w, s in spent.items()), flush=True
        )
    plan = sessions[ways[0]].prepared_run().plan
    values = [session.matrix.values(session.metric) for session in sessions.values()]
    difference = max(float(np.nanmax(np.abs(one - values[0]))) for one in values)
    return {
        "scorer": arguments.scorer,
        "model": folder.name,
        "layout": arguments.layout,
        "turns": arguments.turns,
        "memories": arguments.memories,
        "seed": arguments.seed,
        "prompt_tokens": len(plan.prompt.ids),
        "threads": len(os.sched_getaffinity(0)),
        "ways": growth[-1],
        "largest_difference_nats": round(difference, 6),
        "after_each_turn": growth,
    }


def tables(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The whole talk's cost of each way, and how it grew."""
    ways, growth = figures["ways"], figures["after_each_turn"]
    best = next(iter(ways.values()))
    units = ("tokens", "seconds", "processor")
    columns = ["way", *(name for unit in units for name in (unit, f"x of {next(iter(ways))}")), "MB kept"]
    costs = [
        [way, *(cell for unit in units for cell in (round(one[unit], 1), round(one[unit] / best[unit], 2)))]
        for way, one in ways.items()
    ]
    title = (
        f"{figures['turns']} turns scored one after another, {figures['memories']} memories "
        f"({figures['layout']}), {figures['prompt_tokens']:,} tokens at the end, {figures['scorer']}"
    )
    note = f"No cell differs by more than {figures['largest_difference_nats']:g} nats from way to way."
    sizes = [round(one["kept_bytes"] / 1e6) for one in ways.values()]
    rows = [[*row, size] for row, size in zip(costs, sizes, strict=True)]
    turns = [
        [number, *(round(step[way][unit], 1) for way in ways for unit in ("tokens", "seconds"))]
        for number, step in enumerate(growth, 1)
        if number % 5 == 0 or number == 1
    ]
    heads = ["turns", *(f"{way}, {unit}" for way in ways for unit in ("tokens", "seconds"))]
    return [table(title, columns, rows, note), table("What they had cost after so many turns", heads, turns)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--memories", type=int, default=20)
    parser.add_argument("--layout", choices=("front", "spread"), default="front")
    parser.add_argument("--scorer", choices=("embedded", "transformers"), default="embedded")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--kv-budget", metavar="SIZE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model")
    parser.add_argument("--keep", action="store_true", help="keep the figures in benchmarks/results/")
    arguments = parser.parse_args()
    folder = find_model(arguments.model, Activities())
    with tempfile.TemporaryDirectory() as temporary:
        figures = asyncio.run(measure(arguments, folder, Path(temporary)))
    if arguments.keep:
        keep(figures, tables(figures))
    best = figures["ways"][arguments.ways.split(",")[0]]
    print(
        f"{figures['turns']} turns, {figures['memories']} memories ({figures['layout']}), "
        f"{figures['prompt_tokens']} tokens at the end, {figures['scorer']}; largest difference of a cell "
        f"{figures['largest_difference_nats']:g} nats"
    )
    print(
        f"{'way':8}{'tokens':>12}{'times':>8}{'seconds':>10}{'times':>8}"
        f"{'processor':>11}{'times':>8}{'kept MB':>9}"
    )
    for way, one in figures["ways"].items():
        times = {name: one[name] / best[name] for name in ("tokens", "seconds", "processor")}
        print(
            f"{way:8}{one['tokens']:12,}{times['tokens']:8.1f}{one['seconds']:10.1f}{times['seconds']:8.1f}"
            f"{one['processor']:11.1f}{times['processor']:8.1f}{one['kept_bytes'] / 1e6:9.0f}"
        )


if __name__ == "__main__":
    main()
