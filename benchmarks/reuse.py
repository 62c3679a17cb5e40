"""The demo matrix with and without reuse of the baseline's keys and values: tokens computed and wall time.

    python benchmarks/reuse.py [--rounds 3] [--json]

Both run the same engine on the same plan, in turn; the ratio is between medians of one run.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from memscope.activity import Activities
from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.prompt import build_prompt
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.matrix import ScoreMatrix
from memscope.scoring.plan import Plan, each_alone
from memscope.scoring.run import Run
from memscope.store import Store


async def score(
    plan: Plan, scorer: EmbeddedScorer, keys: list[str], responses: list[int]
) -> tuple[float, int]:
    """Seconds and tokens of one full run from an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "scores.sqlite")
        run = Run(plan, ScoreMatrix(keys, responses, plan.possible()), scorer, store, Activities())
        began = time.perf_counter()
        async for _ in run.score(fresh=True):
            pass
        store.close()
        return time.perf_counter() - began, run.tokens_computed


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    conversation = read_conversation(str(demo_path()))
    folder = ModelFolder(find_model(None, Activities()))
    scorers = {reuse: EmbeddedScorer(folder, reuse=reuse) for reuse in (True, False)}
    prompt = build_prompt(conversation, scorers[True].tokenizer)
    plan = Plan(prompt, each_alone(len(conversation.memories)), folder.config.context_length)
    keys = [memory.key for memory in conversation.memories]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    tokens: dict[bool, int] = {}
    for _ in range(arguments.rounds):
        for reuse, scorer in scorers.items():
            taken, tokens[reuse] = await score(plan, scorer, keys, list(conversation.responses))
            seconds[reuse].append(taken)
    with_reuse, without = (statistics.median(seconds[reuse]) for reuse in (True, False))
    promised, measured = tokens[False] / tokens[True], without / with_reuse
    figures = {
        "prompt_tokens": len(prompt.ids),
        "tokens_naive": plan.cost.tokens_naive,
        "tokens_needed": plan.cost.tokens_needed,
        "tokens_computed": tokens[True],
        "tokens_computed_without_reuse": tokens[False],
        "seconds": round(with_reuse, 2),
        "seconds_without_reuse": round(without, 2),
        "gain_promised": round(promised, 3),
        "gain_measured": round(measured, 3),
        "share_of_promise": round(measured / promised, 3),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value}")


if __name__ == "__main__":
    asyncio.run(main())
