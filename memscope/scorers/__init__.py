"""Scorers: whatever gives log-probabilities of given tokens. Each kind is a module behind one protocol."""

import threading
from typing import TYPE_CHECKING

from memscope.activity import Activities

if TYPE_CHECKING:
    from memscope.scorers.base import Scorer


def open_scorer(model: str | None, activities: Activities, stop: threading.Event) -> "Scorer":
    """Open the embedded scorer on a model's name or folder; None is the default model, fetched if missing.

    Blocks; setting `stop` ends a fetch with CancelledError. Raises ModelError.
    """
    from memscope.scorers.embedded.folder import ModelFolder
    from memscope.scorers.embedded.pull import find_model
    from memscope.scorers.embedded.scorer import EmbeddedScorer

    return EmbeddedScorer(ModelFolder(find_model(model, activities, stop)))
