"""Speed of the embedded engine against transformers + torch: same weights, float32, same threads.

Needs memscope and `pip install -r benchmarks/requirements.txt`. Repetitions alternate, so that whatever else
the machine does meets both; the ratio is that of the medians. `products` is the limit of this way to compute:
the matrix products of the same prefill and nothing else, on as many threads. Processor seconds do not count
waiting for other programs, but torch's threads are busy while they wait for each other.

    python benchmarks/engine.py [--model FOLDER] [--tokens 2048] [--threads N] [--repetitions 5] [--keep]
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import threadpoolctl
from results import keep

from memscope.activity import Activities
from memscope.scorers.base import ScoreRequest
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.llama import KeyValues, Llama
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scorers.kept import Stretch

CHUNK = 512
QUERIES = 128
"""Rows whose attention the engine computes at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder; default: the embedded model")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the figures in benchmarks/results/")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_alone(options.model, options.tokens)))
        return
    # First, because a process starts with the peak memory of the one that began it.
    figures = _in_process_of_its_own(options) | _compare(options)
    if options.keep:
        keep(figures)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value}")


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of both on one prefill, up to the last hidden states."""
    import torch
    import transformers

    folder = ModelFolder(find_model(options.model, Activities()))
    ids = _random_ids(folder, options.tokens)
    before = time.perf_counter()
    engine = Llama(folder, options.threads)
    load_seconds = time.perf_counter() - before
    cache = KeyValues(folder.config, 0, len(ids))
    torch.set_num_threads(options.threads)
    transformers.logging.disable_progress_bar()
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder.path, dtype=torch.float32).eval()
    batch = torch.from_numpy(ids[None].astype(np.int64))

    def memscope() -> None:
        for start in range(0, len(ids), CHUNK):
            engine.forward([Stretch(ids, start, min(start + CHUNK, len(ids)), cache)])

    @torch.inference_mode()
    def transformers_torch() -> None:
        reference.model(batch)

    runs: dict[str, Callable[[], None]] = {
        "memscope": memscope,
        "products": _products(engine, len(ids)),
        "torch": transformers_torch,
    }
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(options.repetitions + 1):
        for name, run in runs.items():
            began, worked = time.perf_counter(), time.process_time()
            run()
            if repetition:  # the first one warms up
                speeds[name].append(round(len(ids) / (time.perf_counter() - began), 1))
                processor[name].append(time.process_time() - worked)
    ours, limit, theirs = (statistics.median(speeds[name]) for name in runs)
    work = {name: statistics.median(processor[name]) for name in runs}
    return {
        "model": folder.name,
        "tokens": len(ids),
        "threads": options.threads,
        "memscope_tokens_per_second": ours,
        "torch_tokens_per_second": theirs,
        "ratio": round(ours / theirs, 3),
        "ratio_by_processor": round(work["torch"] / work["memscope"], 3),
        "products_tokens_per_second": limit,
        "share_of_products": round(ours / limit, 3),
        "share_of_products_by_processor": round(work["products"] / work["memscope"], 3),
        "processor_seconds": {name: round(seconds, 2) for name, seconds in work.items()},
        "blas": sorted(
            {str(info["architecture"]) for info in threadpoolctl.threadpool_info() if "architecture" in info}
        ),
        "memscope_repetitions": speeds["memscope"],
        "torch_repetitions": speeds["torch"],
        "load_seconds": round(load_seconds, 3),
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
        "numpy_version": np.__version__,
    }


def _products(engine: Llama, tokens: int) -> Callable[[], None]:
    """The matrix products of a prefill, each thread its share of the rows of every chunk."""
    config, rows = engine.config, CHUNK // engine.threads
    group, queries = config.heads // config.kv_heads, min(QUERIES, rows)
    blocks = CHUNK // queries
    draw = np.random.default_rng(1)

    def matrix(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return draw.random(shape, np.float32)

    keys = matrix(tokens, config.head_dim)

    def share(number: int) -> None:
        asked = matrix(queries * group, config.head_dim).T
        scores = np.empty((tokens, queries * group), np.float32)
        widths = {config.hidden, config.heads * config.head_dim, config.intermediate}
        inputs = {width: matrix(rows, width) for width in widths}
        for start in range(0, tokens, CHUNK):
            ends = [min(tokens, start + CHUNK * (at + 1) // blocks) for at in range(blocks)]
            for layer in engine._layers:
                for weights in (layer.qkv, layer.output, layer.gate_up, layer.down):
                    np.matmul(inputs[len(weights)], weights)
                for end in ends[number :: engine.threads] * config.kv_heads:
                    np.matmul(keys[:end], asked, out=scores[:end])
                    np.matmul(scores[:end].T, keys[:end])

    def run() -> None:
        list(engine._pool.map(share, range(engine.threads)))

    return run


def _in_process_of_its_own(options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--alone", f"--tokens={options.tokens}"]
    if options.model:
        command.append(f"--model={options.model}")
    figures: dict[str, Any] = json.loads(subprocess.check_output(command))
    return figures


def _alone(model: str | None, tokens: int) -> dict[str, Any]:
    """Time to open, and peak memory while a baseline and an ablation are scored."""
    began = time.perf_counter()
    folder = ModelFolder(find_model(model, Activities()))
    scorer = EmbeddedScorer(folder)
    opened = time.perf_counter()

    async def score() -> None:
        ids = _random_ids(folder, tokens)
        for prompt, baseline in ((ids, True), (np.delete(ids, np.s_[tokens // 8 : tokens // 4]), False)):
            spans = (np.arange(len(prompt) // 2, len(prompt)),)
            async for _ in scorer.score(ScoreRequest(prompt, spans, baseline, shared=tokens // 8)):
                pass

    asyncio.run(score())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "open_seconds": round(opened - began, 3),
        "peak_memory_mb": round(peak / 1e6),
    }


def _random_ids(folder: ModelFolder, tokens: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    generator = np.random.default_rng(1)
    return generator.integers(0, folder.config.vocabulary, tokens).astype(np.int32)


if __name__ == "__main__":
    main()
