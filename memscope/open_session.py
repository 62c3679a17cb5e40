"""Opens conversations as the command line says: by path, as the demo, from standard input, the newest one."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from memscope.conversation.follow import Follower
from memscope.conversation.library import open_library
from memscope.conversation.model import Conversation
from memscope.conversation.readers import read_conversation
from memscope.conversation.rules import load_rules
from memscope.demo import demo_path
from memscope.errors import InputError
from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session
from memscope.settings import scorer_choice, setting

Opener = Callable[[str, str | None], tuple[Session, Follower]]
"""Opens the file at a path and a branch of it, None the live one; raises MemscopeError."""


def read(path: str, branch: str | None) -> Conversation:
    """The conversation in a file, in standard input (`-`), or that of the demo. Raises InputError."""
    return read_conversation(str(demo_path()) if path == "demo" else path, branch, load_rules())


def open_session(
    path: str, branch: str | None, metric: str | None, scorer: dict[str, Any], *, once: bool = False
) -> Session:
    """A session over what `read` reads, to be scored as the options and settings say. Raises InputError.

    One that is scored `once` keeps no prompts to go on from, unless an option says how many bytes of them.
    """
    if once and scorer.get("kv_budget") is None:
        scorer = scorer | {"kv_budget": "0"}
    return _session(read(path, branch), metric, scorer)


def opener_of(metric: str | None, scorer: dict[str, Any]) -> Opener:
    """Opens files to follow, to be scored as the options and settings say."""

    def open_file(path: str, branch: str | None) -> tuple[Session, Follower]:
        follower = Follower(path, branch, load_rules())
        return _session(follower.open(), metric, scorer), follower

    return open_file


def latest_session(branch: str | None) -> tuple[str, str | None]:
    """The newest session of the current directory: its path, and its branch if none was asked for. Raises
    InputError if there is none."""
    library = open_library(Path.cwd())
    try:
        listed = library.latest(Event())
    finally:
        library.close()
    return listed.path, branch or listed.branch or None


def take_keys_from_terminal() -> None:
    """Once a conversation has come through standard input, read the keys from the terminal itself. Raises
    InputError if there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError as error:
        raise InputError(
            "With `-` the screen needs a terminal for its keys; save the conversation first."
        ) from error
    os.dup2(terminal, 0)


def _session(conversation: Conversation, metric: str | None, scorer: dict[str, Any]) -> Session:
    chosen = metric or setting("metric", Metric.SIGNED.value)
    if chosen not in list(Metric):
        raise InputError(f"The metric {chosen!r} is unknown; choose one of {', '.join(Metric)}.")
    return Session(conversation, choice=scorer_choice(**scorer), metric=Metric(chosen))
