"""The demo matrix on a server: memscope's way against one prompt after another, and the cells against the
embedded model's, which has to be the one that is served.

    python benchmarks/servers.py --url http://localhost:8000 [--rounds 3] [--json]

memscope keeps several prompts under way, and scores the baseline twice more to know the noise; the other way,
that of a debug screen that asks for N + 1 scores in a loop, sends each prompt when the last one is answered.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from memscope.activity import Activities
from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.prompt import Prompt, build_prompt
from memscope.scorers.base import Scorer
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scorers.servers.opening import open_server
from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.scoring.plan import Plan, each_alone
from memscope.scoring.run import Run
from memscope.settings import ScorerChoice
from memscope.store import Store


async def score(prompt: Prompt, keys: list[str], responses: list[int], scorer: Scorer) -> tuple[float, Run]:
    """Seconds of a full run from an empty store, and the run."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "scores.sqlite")
        plan = Plan(prompt, each_alone(len(keys)), scorer.context_length)
        run = Run(plan, ScoreMatrix(keys, responses, plan.possible()), scorer, store, Activities())
        began = time.perf_counter()
        async for _ in run.score(fresh=True):
            pass
        store.close()
        return time.perf_counter() - began, run


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conversation = read_conversation(str(demo_path()))
    keys = [memory.key for memory in conversation.memories]
    responses = list(conversation.responses)
    choice = ScorerChoice(concurrency=arguments.concurrency)
    scorer = await open_server(choice, arguments.url, Activities())
    prompt = build_prompt(conversation, scorer.tokenizer)
    concurrency = scorer.concurrency
    seconds: dict[str, list[float]] = {"memscope": [], "sequential": []}
    sent: dict[str, tuple[int, int]] = {}
    cells = {}
    for _ in range(arguments.rounds):
        for way, at_once in (("memscope", concurrency), ("sequential", 1)):
            scorer.take(at_once)
            scorer.exact = way == "sequential"  # so that the baseline is not repeated  # type: ignore[misc]
            before = scorer.sent.requests, scorer.sent.tokens
            taken, run = await score(prompt, keys, responses, scorer)
            seconds[way].append(taken)
            sent[way] = scorer.sent.requests - before[0], scorer.sent.tokens - before[1]
            cells[way] = run.matrix
    server = f"{scorer.name} {await scorer.version()}".strip()
    await scorer.aclose()
    _, exact = await score(
        prompt, keys, responses, EmbeddedScorer(ModelFolder(find_model(None, Activities())))
    )
    ours, theirs = cells["memscope"], exact.matrix
    difference = np.abs(ours.values(Metric.SIGNED) - theirs.values(Metric.SIGNED))
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    figures = {
        "server": server,
        "concurrency": concurrency,
        "prompts_in_a_request": scorer.together,
        "seconds": round(medians["memscope"], 2),
        "seconds_one_after_another": round(medians["sequential"], 2),
        "gain": round(medians["sequential"] / medians["memscope"], 3),
        "http_requests": sent["memscope"][0],
        "http_requests_one_after_another": sent["sequential"][0],
        "tokens_sent": sent["memscope"][1],
        "tokens_sent_one_after_another": sent["sequential"][1],
        "worst_cell_against_embedded": float(f"{np.nanmax(difference):.2g}"),
        "noise_floor": float(f"{ours.noise_floor:.2g}"),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:34} {value}")


if __name__ == "__main__":
    asyncio.run(main())
