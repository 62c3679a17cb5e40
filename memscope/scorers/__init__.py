"""Scorers: whatever gives log-probabilities of given tokens. Each kind is a module behind one protocol."""

import asyncio
import threading
from typing import TYPE_CHECKING

from memscope.activity import Activities
from memscope.errors import InputError
from memscope.settings import ScorerChoice

if TYPE_CHECKING:
    from memscope.scorers.base import Scorer

EMBEDDED, TRANSFORMERS = "embedded", "transformers"
LOCAL = (EMBEDDED, TRANSFORMERS)
SERVERS = ("vllm", "sglang", "echo", "score")
KINDS = (*LOCAL, *SERVERS)
"""What `--scorer` takes."""


async def open_scorer(choice: ScorerChoice, activities: Activities, stop: threading.Event) -> "Scorer":
    """Open the scorer that was chosen: by its kind, else the server at the URL, else the embedded model
    (fetched if it is missing). Nothing is imported of the kinds that are not used.

    Setting `stop` or cancelling ends a fetch. Raises MemscopeError.
    """
    if choice.kind is not None and choice.kind not in KINDS:
        raise InputError(f"The scorer {choice.kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    if choice.kind in LOCAL and choice.url:
        raise InputError(f"The scorer {choice.kind} runs here and takes no URL; leave out one of the two.")
    if choice.kind in SERVERS and not choice.url:
        raise InputError(f"The scorer {choice.kind} needs the address of its server; give it with --url.")
    if choice.url:
        from memscope.scorers.servers.opening import open_server

        return await open_server(choice, choice.url, activities)
    opening = _open_transformers if choice.kind == TRANSFORMERS else _open_embedded
    return await asyncio.to_thread(opening, choice, activities, stop)


def _open_embedded(choice: ScorerChoice, activities: Activities, stop: threading.Event) -> "Scorer":
    from memscope.scorers.embedded.folder import ModelFolder
    from memscope.scorers.embedded.pull import find_model
    from memscope.scorers.embedded.scorer import EmbeddedScorer

    folder = ModelFolder(find_model(choice.model, activities, stop))
    return EmbeddedScorer(folder, kv_budget=choice.kv_budget)


def _open_transformers(choice: ScorerChoice, activities: Activities, stop: threading.Event) -> "Scorer":
    from memscope.scorers.embedded.pull import find_model
    from memscope.scorers.transformers import TransformersScorer

    model = choice.model or str(find_model(None, activities, stop))
    return TransformersScorer(model, kv_budget=choice.kv_budget)
