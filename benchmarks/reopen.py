"""Open a session whose cells are all in the store: with the run that was kept of them, and from cells alone.

    python benchmarks/reopen.py [--sizes 20x20,100x300,300x1000] [--keep]

`reopen` is the time until the matrix is there again, the model's opening left out: the conversation is
rendered and tokenized, its plan made, and the cells come from the newest run. `from cells` is the same while
there is no run, so that each cell is looked up under its own name; `first` with nothing in the store. The
numbers in the store are random ones, and the model's context holds every conversation.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from results import keep, table
from screen import conversation

from memscope.activity import Activities
from memscope.conversation.model import Conversation
from memscope.database import FILE
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.pull import find_model
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from memscope.store import Store


async def opened(talk: Conversation, scorer: EmbeddedScorer, cache: Path) -> tuple[Session, float]:
    """A prepared session, and the seconds that took."""

    async def open_scorer(*_: object) -> EmbeddedScorer:
        return scorer

    session = Session(talk)
    with mock.patch.multiple("memscope.scoring.session", open_scorer=open_scorer, cache_dir=lambda: cache):
        began = time.perf_counter()
        await session.prepare()
        return session, time.perf_counter() - began


def fill(session: Session, scorer: EmbeddedScorer, store: Store) -> None:
    """Put a random number for every token of every cell in the store."""
    numbers, plan = np.random.default_rng(3), session.prepared_run().plan
    for ablation in plan.ablations:
        keys = plan.keys(ablation, scorer.fingerprint)
        lengths = [len(plan.prompt.responses[response]) for response in keys]
        drawn = np.split(-numbers.exponential(2.0, sum(lengths)).astype(np.float32), np.cumsum(lengths)[:-1])
        store.put(dict(zip(keys.values(), drawn, strict=True)))


async def measure(memories: int, responses: int, scorer: EmbeddedScorer, cache: Path) -> dict[str, Any]:
    """Seconds to open one size in the three ways."""
    talk = conversation(memories, responses)
    session, first = await opened(talk, scorer, cache)
    store = Store(cache / FILE)
    fill(session, scorer, store)
    store.close()
    session.close()
    session, from_cells = await opened(talk, scorer, cache)
    async for _ in session.score():  # which has nothing to do, and is kept as a run
        pass
    cells = session.matrix.count(CellState.SCORED)
    session.close()
    session, reopen = await opened(talk, scorer, cache)
    assert session.matrix.count(CellState.SCORED) == cells
    session.close()
    return {
        "size": f"{memories}x{responses}",
        "cells": cells,
        "tokens": len(session.prepared_run().plan.prompt.ids),
        "first_seconds": round(first, 2),
        "from_cells_seconds": round(from_cells, 2),
        "reopen_seconds": round(reopen, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="20x20,100x300,300x1000")
    parser.add_argument("--keep", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    scorer = EmbeddedScorer(ModelFolder(find_model(None, Activities())))
    scorer.context_length = 1 << 30  # the model is asked nothing
    figures = []
    for size in options.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            figures.append(asyncio.run(measure(*map(int, size.split("x")), scorer, Path(folder))))
        print(figures[-1], flush=True)
    if options.keep:
        columns = ["memories x responses", "cells", "tokens", "first", "from cells", "reopen"]
        rows = [list(one.values()) for one in figures]
        keep({"sizes": figures}, [table("Seconds until the matrix is there", columns, rows)])


if __name__ == "__main__":
    main()
