"""A full matrix of memories x responses: tokens through the model and wall time, memscope beside its rivals.

    pip install -r benchmarks/requirements-rivals.txt
    memscope model pull
    python benchmarks/rivals.py            # about 17 minutes on two quiet cores; --small for a try

The same float32 weights and the same number of threads for all, one after the other in one process:

- embedded, transformers: memscope's two local scorers, through its own run, from an empty store;
- sequential: what one writes first, N + 1 prompts in a loop, each computed whole in torch, with the logits of
  the response positions only; `all logits` is the same with the logits of every position, as a server that is
  asked for prompt log-probabilities computes them;
- ContextCite with 32 and 64 masks, one run for each response that has a memory before it;
- Captum's LLMAttribution with FeatureAblation, one forward a prompt, one run for each such response.

Conversations of ten turns with N memories and about T tokens are made from the demo's words, seeded, in three
layouts: all memories in front of the first turn, spread over all turns, or over the second half of them.

Tokens are exact everywhere: counted where something ran, else from the token ids that it would run.
memscope's must equal T + sum(T - p_i - l_i), or the benchmark fails. Seconds are measured in full at the
central point (spread, N = 20, T = 2,048) for memscope and the sequential way. Elsewhere a way that needs more
than `--budget` tokens runs only some of its prompts, evenly chosen, and its seconds are computed: measured
seconds a token x all its tokens; `computed` says so. `--full` measures everything (hours).
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from layouts import LAYOUTS, SEED, conversation
from results import FOLDER, use_processors, write
from rivals_tables import CENTRE, shown_seconds, tables

from memscope.activity import Activities
from memscope.prompt import Prompt, build_prompt
from memscope.scorers.base import Scorer
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.scoring.plan import Plan, each_alone
from memscope.scoring.run import Run
from memscope.store import Store

MASKS = (32, 64)
AGREEMENT = 1e-2
"""How far, in nats, two ways to the same cell may differ."""


@dataclass
class Measured:
    """What a way needs for the whole matrix: `tokens` through the model in `forwards`, and wall `seconds`.

    `computed` tells whether the seconds come from `ran_tokens` tokens that took `ran_seconds` (of the
    processors: `ran_processor_seconds`) and not from all. Nothing ran where `seconds` is None.
    """

    tokens: int
    forwards: int
    ran_tokens: int = 0
    ran_seconds: float = 0.0
    ran_processor_seconds: float = 0.0
    seconds: float | None = None
    computed: bool = True

    def ran(self, tokens: int, clock: "Clock") -> "Measured":
        """With the seconds that these tokens took, or all would."""
        self.ran_tokens = tokens
        self.ran_seconds, self.ran_processor_seconds = round(clock.seconds, 3), round(clock.processor, 3)
        self.computed = tokens != self.tokens
        self.seconds = round(clock.seconds * self.tokens / tokens, 2)
        return self


class Clock:
    """Adds up the wall and processor seconds of its blocks."""

    def __init__(self) -> None:
        self.seconds = self.processor = 0.0

    def __enter__(self) -> "Clock":
        self._began, self._spent = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began
        self.processor += time.process_time() - self._spent


def spaced(of: int, count: int) -> list[int]:
    """`count` of the numbers below `of`, evenly spaced."""
    count = min(of, max(1, count))
    return sorted({int((number + 0.5) * of / count) for number in range(count)})


def bound(prompt: Prompt, rows: Sequence[int]) -> int:
    """T + sum(T - p_i - l_i) over these memories, from the owners of the prompt's tokens alone."""
    length = len(prompt.ids)
    places = [np.flatnonzero(prompt.memory == row) for row in rows]
    return length + sum(length - int(place[0]) - len(place) for place in places)


class Bench:
    """One conversation after the other, each by every way."""

    def __init__(self, folder: Path, threads: int, budget: int | None) -> None:
        """`budget` is how many tokens a way may run at a point; None for no limit."""
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        torch.set_num_threads(threads)
        self._torch = torch
        self._folder = ModelFolder(folder)
        self._budget = budget
        self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.tokenizer = EmbeddedScorer(self._folder).tokenizer
        with torch.inference_mode():
            self._model(torch.zeros((1, 64), dtype=torch.long))  # the first forward is slower

    async def point(self, layout: str, memories: int, tokens: int, ways: Sequence[str]) -> dict[str, Any]:
        """Every way on one conversation."""
        talk = conversation(layout, memories, tokens, self.tokenizer)
        prompt = build_prompt(talk, self.tokenizer)
        plan = Plan(prompt, each_alone(memories), self._folder.config.context_length)
        assert len(plan.windows) == 1
        assert plan.cost.tokens_needed == bound(prompt, range(memories))
        central = (layout, memories, tokens) == CENTRE
        found: dict[str, Measured] = {}
        cells: dict[str, dict[tuple[int, int], float]] = {}
        matrix: ScoreMatrix | None = None
        for way in ways:
            if way in ("embedded", "transformers"):
                found[way], scored = await self._memscope(way, plan, whole=central)
                matrix = matrix or scored
                cells[way] = _cells(scored)
            elif way in ("sequential", "all logits"):
                if way == "sequential" or central:
                    whole = central and way == "sequential"
                    found[way], cells[way] = self._sequential(plan, way == "all logits", whole=whole)
            elif way == "contextcite":
                found |= self._contextcite(prompt, timed=layout == CENTRE[0])
            elif way == "captum":
                found[way], cells[way] = self._captum(prompt, timed=layout == CENTRE[0])
        return {
            "layout": layout,
            "memories": memories,
            "responses": len(talk.responses),
            "tokens_wanted": tokens,
            "prompt_tokens": len(prompt.ids),
            "bound": plan.cost.tokens_needed,
            "naive": plan.cost.tokens_naive,
            "ways": {way: asdict(measured) for way, measured in found.items()},
            "worst_difference_from_embedded": _differences(cells),
        }

    def _some(self, costs: Sequence[int], whole: bool = False) -> list[int]:
        """Which of these jobs to run: all, or as many evenly spaced ones as the budget allows."""
        if whole or self._budget is None:
            return list(range(len(costs)))
        count = round(self._budget / (sum(costs) / len(costs)))
        if count > 1:
            return spaced(len(costs), count)
        fitting = [job for job, cost in enumerate(costs) if cost <= self._budget]
        return [max(fitting, key=costs.__getitem__) if fitting else int(np.argmin(costs))]

    async def _memscope(self, way: str, plan: Plan, *, whole: bool) -> tuple[Measured, ScoreMatrix]:
        """memscope's own run with a new scorer, so that nothing is left of another conversation."""
        scorer: Scorer
        if way == "embedded":
            scorer = EmbeddedScorer(self._folder, self.tokenizer)
        else:
            from memscope.scorers.transformers import TransformersScorer

            scorer = TransformersScorer(self._folder.path, self.tokenizer, device="cpu")
        prompt, memories = plan.prompt, len(plan.rows)
        await _warm_up(scorer, prompt)
        full = bound(prompt, range(memories))
        costs = [bound(prompt, [row]) - len(prompt.ids) for row in range(memories)]
        rows = range(memories)
        if not whole and self._budget is not None and full > self._budget:
            rows = spaced(memories, round((self._budget - len(prompt.ids)) / (sum(costs) / memories)))
        only = np.zeros((memories, len(prompt.responses)), np.bool_)
        only[list(rows)] = True
        matrix = ScoreMatrix([str(row) for row in range(memories)], range(only.shape[1]), plan.possible())
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "scores.sqlite")
            run = Run(plan, matrix, scorer, store, Activities())
            with Clock() as clock:
                async for _ in run.score(fresh=True, only=only):
                    pass
            store.close()
        await scorer.aclose()
        if matrix.errors:
            raise SystemExit(f"{way}: {next(iter(matrix.errors.values()))}")
        if run.tokens_computed != bound(prompt, rows):
            raise SystemExit(
                f"{way} computed {run.tokens_computed} tokens, the bound is {bound(prompt, rows)}"
            )
        return Measured(full, memories + 1).ran(run.tokens_computed, clock), matrix

    def _sequential(
        self, plan: Plan, all_logits: bool, *, whole: bool
    ) -> tuple[Measured, dict[tuple[int, int], float]]:
        """Each prompt whole, in torch; also the cells of the prompts that ran."""
        torch, prompt = self._torch, plan.prompt
        requests = [plan.request(ablation, ablation.responses) for ablation in plan.ablations]
        lengths = [len(request.ids) for request in requests]
        jobs = self._some(lengths, whole)
        if 0 not in jobs:
            jobs = [0, *jobs[1:]]  # the baseline, with which cells are compared
        sums: dict[int, dict[int, float]] = {}
        clock = Clock()
        for job in jobs:
            positions = np.unique(np.concatenate(requests[job].spans))
            with clock, torch.inference_mode():
                ids = torch.from_numpy(requests[job].ids.astype(np.int64))
                rows = torch.from_numpy(positions - 1)
                kept = {} if all_logits else {"logits_to_keep": rows}
                logits = self._model(ids[None], use_cache=False, **kept).logits[0]
                logprobs = torch.log_softmax(logits, dim=-1)
                chosen = logprobs[rows if all_logits else torch.arange(len(rows)), ids[positions]].numpy()
            at = dict(zip(positions.tolist(), chosen.tolist(), strict=True))
            responses = plan.ablations[job].responses
            sums[job] = {
                response: sum(at[position] for position in span.tolist())
                for response, span in zip(responses, requests[job].spans, strict=True)
            }
        cells = {
            (row, response): sums[0][response] - total
            for job in jobs
            if (row := plan.ablations[job].row) is not None
            for response, total in sums[job].items()
        }
        assert sum(lengths) <= plan.cost.tokens_naive
        assert lengths[0] == len(prompt.ids)
        return Measured(sum(lengths), len(lengths)).ran(sum(lengths[job] for job in jobs), clock), cells

    def _contextcite(self, prompt: Prompt, *, timed: bool) -> dict[str, Measured]:
        """Two masks of some responses, or all masks of all."""
        from rival_packages import context_citer, counted, masks_of, question, tokens_of

        asked = [question(prompt, response) for response in range(len(prompt.responses))]
        asked = [one for one in asked if one.memories]
        costs = [tokens_of(self._tokenizer, one, masks_of(len(one.memories), max(MASKS))) for one in asked]
        found = {
            f"contextcite-{masks}": Measured(sum(sum(cost[:masks]) for cost in costs), masks * len(asked))
            for masks in MASKS
        }
        if not timed:
            return found
        masks = max(MASKS) if self._budget is None else 2
        clock, ran = Clock(), 0
        for number in self._some([sum(cost[:masks]) for cost in costs]):
            with counted(self._model) as tokens, clock:
                context_citer(self._model, self._tokenizer, asked[number], masks).get_attributions(
                    verbose=False
                )
            assert tokens == costs[number][:masks], (tokens, costs[number][:masks])
            ran += sum(tokens)
        for measured in found.values():
            measured.ran(ran, clock)
        return found

    def _captum(self, prompt: Prompt, *, timed: bool) -> tuple[Measured, dict[tuple[int, int], float]]:
        """Some responses, each with all its memories, or all of them."""
        from rival_packages import ablate_with_captum, counted, question, tokens_of

        asked = {response: question(prompt, response) for response in range(len(prompt.responses))}
        asked = {response: one for response, one in asked.items() if one.memories}
        costs = {
            response: tokens_of(
                self._tokenizer,
                one,
                np.concatenate([np.ones((1, len(one.memories))), 1 - np.eye(len(one.memories))]).astype(bool),
            )
            for response, one in asked.items()
        }
        measured = Measured(sum(map(sum, costs.values())), sum(map(len, costs.values())))
        cells: dict[tuple[int, int], float] = {}
        if not timed:
            return measured, cells
        clock, ran = Clock(), 0
        responses = list(asked)
        for response in (responses[job] for job in self._some([sum(costs[r]) for r in responses])):
            with counted(self._model) as tokens, clock:
                drops = ablate_with_captum(self._model, self._tokenizer, asked[response], by_token=False)
            assert sorted(tokens) == sorted(costs[response]), (tokens, costs[response])
            ran += sum(tokens)
            cells |= {(m, response): float(d) for m, d in zip(asked[response].memories, drops, strict=True)}
        return measured.ran(ran, clock), cells


async def _warm_up(scorer: Scorer, prompt: Prompt) -> None:
    from memscope.scorers.base import ScoreRequest

    async for _ in scorer.score(ScoreRequest(prompt.ids[::-1][:64].copy(), (np.arange(32, 64),))):
        pass


def _cells(matrix: ScoreMatrix) -> dict[tuple[int, int], float]:
    values = matrix.values(Metric.SIGNED)
    return {(int(m), int(r)): float(values[m, r]) for m, r in np.argwhere(np.isfinite(values))}


def _differences(cells: dict[str, dict[tuple[int, int], float]]) -> dict[str, dict[str, float]]:
    """How far each way's cells are from the embedded scorer's, in nats, where both have them."""
    differences = {}
    for way, theirs in cells.items():
        both = cells.get("embedded", {}).keys() & theirs.keys()
        if way != "embedded" and both:
            worst = max(abs(cells["embedded"][cell] - theirs[cell]) for cell in both)
            differences[way] = {"cells": len(both), "nats": round(worst, 6)}
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--small", action="store_true", help="three points of 600 tokens, to see that it runs"
    )
    parser.add_argument("--points", help="only these, as layout/N/T,...")
    parser.add_argument("--full", action="store_true", help="measure everything: hours")
    parser.add_argument("--budget", type=int, default=7000, help="tokens that a way may run at a point")
    parser.add_argument("--ways", default="embedded,transformers,sequential,all logits,contextcite,captum")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", help="a model folder; default: the embedded model")
    parser.add_argument("--to", type=Path, default=FOLDER / "rivals.json")
    arguments = parser.parse_args()
    use_processors(arguments.threads)
    folder = find_model(arguments.model, Activities())
    bench = Bench(Path(folder), arguments.threads, None if arguments.full else arguments.budget)
    if arguments.points:
        named = [point.split("/") for point in arguments.points.split(",")]
        grid = [(layout, int(memories), int(tokens)) for layout, memories, tokens in named]
    elif arguments.small:
        grid = [(layout, 5, 600) for layout in LAYOUTS]
    else:
        sizes = [(20, 2048), (10, 2048), (40, 2048), (20, 1024), (20, 4096)]
        grid = [CENTRE, *((layout, n, t) for layout in ("spread", "front", "late") for n, t in sizes)]
        grid = list(dict.fromkeys(grid))
    points: list[dict[str, Any]] = []
    began = time.perf_counter()
    for layout, memories, tokens in grid:
        point = asyncio.run(bench.point(layout, memories, tokens, arguments.ways.split(",")))
        points.append(point)
        line = {way: f"{m['tokens']:,} tokens {shown_seconds(m)} s" for way, m in point["ways"].items()}
        print(
            f"{time.perf_counter() - began:6.0f} s  {layout} N={memories} T={point['prompt_tokens']}  {line}"
        )
        print(f"          {point['worst_difference_from_embedded']}", flush=True)
        figures = {
            "seed": SEED,
            "threads": arguments.threads,
            "budget": None if arguments.full else arguments.budget,
            "seconds_in_all": round(time.perf_counter() - began, 1),
            "points": points,
        }
        write(arguments.to, figures, tables(points))
    for point in points:
        for way, difference in point["worst_difference_from_embedded"].items():
            if difference["nats"] > AGREEMENT:
                raise SystemExit(f"{way} differs by {difference['nats']} nats at {point['layout']}")


if __name__ == "__main__":
    main()
