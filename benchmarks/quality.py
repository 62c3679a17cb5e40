"""Does leave-one-out name the right memory? MADial-Bench cases, against word overlap, chance and ContextCite.

    pip install -r benchmarks/requirements-rivals.txt
    memscope model pull
    python benchmarks/quality.py CASES.jsonl --work FOLDER    # hours; goes on where it was stopped
    python benchmarks/quality.py CASES.jsonl --work FOLDER --report    # what there is so far

CASES.jsonl holds a case a line: `messages`, `target_turn` (the index of the response to explain), `memories`
(`key`, `text`), `gold_keys` and `gold_first`. Each case becomes a conversation that ends with that response;
the memories stand together before the last user message (`--layout late`) or the first one (`front`).

memscope leaves each memory out, and once all of them, on the embedded model. ContextCite gets the same text,
through torch on the same weights, and the masks that it draws itself: as many as cost no more tokens than
memscope needed, and 32. Both are of the package; only the logits of positions that it does not read are left
out. Cases are taken in a seeded order, so that any number of them is a sample: first memscope on all, then
ContextCite at equal tokens, then with 32 masks. Nothing of the cases' text is written but to FOLDER.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from quality_analysis import report
from results import FOLDER, use_processors, write

from memscope.activity import Activities
from memscope.conversation.model import Conversation
from memscope.conversation.readers import read_conversation
from memscope.prompt import Prompt, build_prompt
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.plan import Ablation, Plan, each_alone

SEED = 7
MASKS = 32
SYSTEM = (
    'You are a companion who has known the user for years. Messages that begin with "Memory:" are your notes '
    "from earlier conversations. Use them where they help."
)
STAGES = ("memscope", "contextcite-equal", "contextcite-32")


class Records:
    """What was computed, a JSON object a line, appended as it comes; a line that was cut off is skipped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        for line in path.read_text("utf-8").splitlines() if path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            self._known[record["stage"], record["id"]] = record

    def get(self, stage: str, case: str) -> dict[str, Any] | None:
        return self._known.get((stage, case))

    def add(self, record: dict[str, Any]) -> None:
        self._known[record["stage"], record["id"]] = record
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * (file.tell() > 0) + json.dumps(record))

    def of(self, stage: str) -> dict[str, dict[str, Any]]:
        return {case: record for (at, case), record in self._known.items() if at == stage}


def conversation(case: dict[str, Any], layout: str) -> Conversation:
    """A case up to its target, with its memories as entries of their own."""
    turns = [
        {"role": message["role"], "content": message["content"]}
        for message in case["messages"][: case["target_turn"] + 1]
    ]
    turns[-1]["role"] = "assistant"  # four targets are labelled otherwise
    memories = [
        {"role": "system", "content": f"Memory: {memory['text']}", "memory_key": memory["key"]}
        for memory in case["memories"]
    ]
    at = len(turns) - 2 if layout == "late" else 0
    lines = [{"role": "system", "content": SYSTEM}, *turns[:at], *memories, *turns[at:]]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        return read_conversation(file.name)


class Bench:
    """Runs cases, one stage at a time."""

    def __init__(self, folder: Path, threads: int, layout: str) -> None:
        self._folder = ModelFolder(folder)
        self._scorer = EmbeddedScorer(self._folder)
        self._threads = threads
        self._layout = layout
        self._torch: tuple[Any, Any] | None = None

    async def memscope(self, case: dict[str, Any]) -> dict[str, Any]:
        """Each memory's drop of each response token [M, t], and that of all memories together [t]."""
        talk = conversation(case, self._layout)
        prompt = build_prompt(talk, self._scorer.tokenizer)
        memories = len(talk.memories)
        assert [memory.key for memory in talk.memories] == [memory["key"] for memory in case["memories"]]
        rows = [*each_alone(memories), tuple(range(memories))]
        plan = Plan(prompt, rows, self._folder.config.context_length)
        assert len(plan.windows) == 1
        before = self._scorer.tokens_computed
        baseline, *ablations = [await self._logprobs(plan, ablation) for ablation in plan.ablations]
        computed = self._scorer.tokens_computed - before
        together = plan.ablations[-1]
        alone = plan.cost.tokens_needed - (len(prompt.ids) - together.removed - together.shared)
        return {
            "tokens": alone,
            "tokens_computed": computed,
            "prompt_tokens": len(prompt.ids),
            "memory_tokens": [int((prompt.memory == memory).sum()) for memory in range(memories)],
            "baseline": _rounded(baseline),
            "drops": [_rounded(baseline - without) for without in ablations[:-1]],
            "all_out": _rounded(baseline - ablations[-1]),
        }

    async def _logprobs(self, plan: Plan, ablation: Ablation) -> np.ndarray[Any, Any]:
        """The log-probabilities of the last response's tokens."""
        request = plan.request(ablation, (len(plan.prompt.responses) - 1,))
        (span,) = [span async for span in self._scorer.score(request)]
        return span.logprobs.astype(np.float64)

    def contextcite(self, case: dict[str, Any], start: int, stop: int | None, tokens: int) -> dict[str, Any]:
        """ContextCite's masks from `start` to `stop`, or as many as `tokens` buy: the log-odds of the whole
        response under each, and what each cost."""
        import rival_packages as rivals

        model, tokenizer = self._opened()
        prompt: Prompt = build_prompt(conversation(case, self._layout), self._scorer.tokenizer)
        asked = rivals.question(prompt, len(prompt.responses) - 1)
        masks = rivals.masks_of(len(asked.memories), MASKS)
        costs = rivals.tokens_of(tokenizer, asked, masks)
        if stop is None:
            stop = max(1, int(np.searchsorted(np.cumsum(costs), tokens, side="right")))
        outputs: list[float] = []
        length = 0
        if stop > start:
            citer = rivals.context_citer(model, tokenizer, asked, stop - start)
            length = len(citer._response_ids)
            drawn, logit_probs = rivals.get_masks_and_logit_probs(
                _FewLogits(model, length),
                citer.tokenizer,
                stop - start,
                citer.num_sources,
                citer._get_prompt_ids,
                citer._response_ids,
                rivals.KEEP_PROBABILITY,
                citer.batch_size,
                base_seed=start,
            )
            assert (drawn == masks[start:stop]).all()
            outputs = [float(output) for output in rivals.aggregate_logit_probs(logit_probs)]
        return {
            "start": start,
            "stop": stop,
            "costs": costs[start:stop],
            "outputs": outputs,
            "length": length,
        }

    def _opened(self) -> tuple[Any, Any]:
        if self._torch is None:
            import torch
            import transformers

            torch.set_num_threads(self._threads)
            transformers.utils.logging.disable_progress_bar()
            transformers.utils.logging.set_verbosity_error()
            path = self._folder.path
            model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
            self._torch = model, transformers.AutoTokenizer.from_pretrained(path)
        return self._torch


class _FewLogits:
    """The model, with the logits of a prompt's last positions only: those that ContextCite reads."""

    def __init__(self, model: Any, response: int) -> None:
        self._model = model
        self._kept = response + 1
        self.device = model.device

    def __call__(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        return self._model(
            input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=self._kept, use_cache=False
        )


def _rounded(numbers: np.ndarray[Any, Any]) -> list[float]:
    return [round(float(number), 6) for number in numbers]


def run(cases: list[dict[str, Any]], bench: Bench, records: Records, stages: list[str]) -> Iterator[str]:
    """Compute what is missing; yields a line for each case that was computed."""
    loop = asyncio.new_event_loop()
    for stage in stages:
        for number, case in enumerate(cases):
            if records.get(stage, case["id"]):
                continue
            began = time.perf_counter()
            if stage == "memscope":
                found = loop.run_until_complete(bench.memscope(case))
            else:
                known = records.get("memscope", case["id"])
                equal = records.get("contextcite-equal", case["id"])
                if stage == "contextcite-equal" and known:
                    found = bench.contextcite(case, 0, None, known["tokens"])
                elif stage == "contextcite-32" and equal:
                    found = bench.contextcite(case, equal["stop"], MASKS, 0)
                else:
                    continue
            taken = round(time.perf_counter() - began, 2)
            records.add({"stage": stage, "id": case["id"], "seconds": taken, **found})
            yield f"{stage} {number + 1}/{len(cases)} {case['id']} {taken} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="the folder that keeps what was computed")
    parser.add_argument("--layout", choices=["late", "front"], default="late")
    parser.add_argument("--limit", type=int, help="only the first so many cases of the seeded order")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--report", action="store_true", help="compute nothing, report what there is")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", help="a model folder; default: the embedded model")
    parser.add_argument("--to", type=Path, help="default: results/quality.json, or quality-front.json")
    arguments = parser.parse_args()
    data = arguments.cases.read_bytes()
    cases = [json.loads(line) for line in data.splitlines() if line.strip()]
    random.Random(SEED).shuffle(cases)
    cases = cases[: arguments.limit]
    folder = find_model(arguments.model, Activities())
    fingerprint = ModelFolder(folder).fingerprint
    name = hashlib.sha256(data + fingerprint.encode() + SYSTEM.encode()).hexdigest()[:12]
    records = Records(arguments.work / f"{arguments.layout}-{name}.jsonl")
    if not arguments.report:
        use_processors(arguments.threads)
        bench = Bench(folder, arguments.threads, arguments.layout)
        for line in run(cases, bench, records, arguments.stages.split(",")):
            print(f"{time.strftime('%H:%M:%S')} {line} load {os.getloadavg()[0]:.1f}", flush=True)
    figures, tables = report(cases, {stage: records.of(stage) for stage in STAGES}, SEED)
    suffix = "" if arguments.layout == "late" else f"-{arguments.layout}"
    figures = {"seed": SEED, "layout": arguments.layout, "model": ModelFolder(folder).name, **figures}
    write(arguments.to or FOLDER / f"quality{suffix}.json", figures, tables)


if __name__ == "__main__":
    main()
