"""The conversation that ships with memscope: an agent with memory plans a trip."""

from importlib import resources
from pathlib import Path


def demo_path() -> Path:
    """Where the demo conversation lies (native log, JSONL); memscope is installed as ordinary files."""
    return Path(str(resources.files(__name__) / "trip-planner.jsonl"))
