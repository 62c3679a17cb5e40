"""A whole matrix through the `transformers` scorer with and without reuse: tokens computed and wall time.

Needs memscope and `pip install -r benchmarks/requirements.txt`.

    python benchmarks/transformers_reuse.py [--layout demo|spread|late] [--rounds 3] [--plain] [--json]

The demo's layout is its own; `spread` repeats its turns and hands its memories out evenly over all of them,
`late` over the second half. Both ways run the same scorer on the same plan in one process and take turns
prompt by prompt, so that whatever else the machine does meets both; seconds are the medians of the rounds'
sums, of wall time and of the processor's, to which waiting for other programs adds less. `--plain` adds what
one writes without memscope: for each ablation one forward of the whole prompt, with the logits of every
position.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import torch
import transformers

from memscope.activity import Activities
from memscope.conversation.model import Conversation
from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.prompt import build_prompt
from memscope.scorers.base import LogProbs, ScoreRequest
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.transformers import TransformersScorer
from memscope.scoring.plan import Plan, each_alone

COPIES = 2
"""How often the demo's turns stand in the other layouts."""
FIRST = {"spread": 0.0, "late": 0.5}
"""Where in the conversation the first memory stands, as a share of its turns."""


def conversation(layout: str) -> Conversation:
    """The demo, or its turns repeated and its memories handed out among them."""
    if layout == "demo":
        return read_conversation(str(demo_path()))
    lines = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()]
    memories = {line["memory_key"]: line for line in lines if line.get("memory_key")}
    turns = [line for line in lines if not line.get("memory_key")]
    turns = turns[:1] + turns[1:] * COPIES
    starts = [at for at, line in enumerate(turns) if line["role"] == "user"]
    starts = starts[round(FIRST[layout] * len(starts)) :]
    for number, memory in reversed(list(enumerate(memories.values()))):
        turns.insert(starts[number * len(starts) // len(memories)], memory)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in turns)
        file.flush()
        return read_conversation(file.name)


async def with_scorer(scorer: TransformersScorer, request: ScoreRequest) -> list[LogProbs]:
    async with aclosing(scorer.score(request)) as spans:
        return [span.logprobs async for span in spans]


async def plainly(model: Any, request: ScoreRequest) -> list[LogProbs]:
    ids = torch.from_numpy(request.ids.astype(np.int64))
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(ids[None], use_cache=False).logits[0], dim=-1)
    return [logprobs[span - 1, ids[span]].numpy() for span in request.spans]


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    folder = find_model(arguments.model, Activities())
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    scorers = {reuse: TransformersScorer(folder, device="cpu", reuse=reuse) for reuse in (True, False)}
    talk = conversation(arguments.layout)
    prompt = build_prompt(talk, scorers[True].tokenizer)
    plan = Plan(prompt, each_alone(len(talk.memories)), scorers[True].context_length)
    ways: dict[str, Callable[[ScoreRequest], Awaitable[list[LogProbs]]]] = {
        "reuse": lambda request: with_scorer(scorers[True], request),
        "no_reuse": lambda request: with_scorer(scorers[False], request),
    }
    if arguments.plain:
        plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ways["plain"] = lambda request: plainly(plain, request)
    for run in ways.values():  # the weights
        await run(ScoreRequest(prompt.ids[:64], (np.arange(32, 64),)))
    before = {reuse: scorer.tokens_computed for reuse, scorer in scorers.items()}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    processor: dict[str, list[float]] = {way: [] for way in ways}
    difference = 0.0
    for _ in range(arguments.rounds):
        taken, worked = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
        for ablation in plan.ablations:
            request = plan.request(ablation, ablation.responses)
            found: dict[str, list[LogProbs]] = {}
            for way, run in ways.items():
                began, spent = time.perf_counter(), time.process_time()
                found[way] = await run(request)
                taken[way] += time.perf_counter() - began
                worked[way] += time.process_time() - spent
            for response in zip(*found.values(), strict=True):
                sums = [logprobs.sum(dtype=np.float64) for logprobs in response]
                difference = max(difference, max(sums) - min(sums))
        for way in ways:
            seconds[way].append(round(taken[way], 2))
            processor[way].append(round(worked[way], 2))
    computed = {r: (s.tokens_computed - before[r]) // arguments.rounds for r, s in scorers.items()}
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    work = {way: statistics.median(worked) for way, worked in processor.items()}
    promised, measured = computed[False] / computed[True], medians["no_reuse"] / medians["reuse"]
    return {
        "layout": arguments.layout,
        "prompt_tokens": len(prompt.ids),
        "memories": len(talk.memories),
        "threads": torch.get_num_threads(),
        "tokens_naive": plan.cost.tokens_naive,
        "tokens_needed": plan.cost.tokens_needed,
        "tokens_computed": computed[True],
        "tokens_computed_without_reuse": computed[False],
        "seconds": round(medians["reuse"], 2),
        "seconds_without_reuse": round(medians["no_reuse"], 2),
        "gain_promised": round(promised, 3),
        "gain_measured": round(measured, 3),
        "gain_in_processor_time": round(work["no_reuse"] / work["reuse"], 3),
        "share_of_promise": round(measured / promised, 3),
        **({"gain_over_plain": round(medians["plain"] / medians["reuse"], 3)} if arguments.plain else {}),
        "worst_response_difference": round(float(difference), 6),
        "repetitions": seconds,
        "repetitions_in_processor_time": processor,
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layout", choices=["demo", *FIRST], default="demo")
    parser.add_argument("--model", help="a model folder; default: the embedded model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
