"""memscope shows which memory made an agent say what it said.

The public names are imported on first use, so that `import memscope` costs nothing.
"""

import importlib
from typing import Any

_HOME = {
    "Conversation": "memscope.conversation.model",
    "Metric": "memscope.scoring.matrix",
    "ScoreMatrix": "memscope.scoring.matrix",
    "Session": "memscope.scoring.session",
    "SessionLog": "memscope.session_log",
    "read_conversation": "memscope.conversation.readers",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
