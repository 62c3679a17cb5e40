"""One session as the list of all sessions shows it."""

import os
from dataclasses import dataclass

_TITLE = 200
"""Characters of a title that are kept."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A session that was found.

    `path` is the file and `branch` the id within a file that holds many sessions, else empty. `agent` is the
    program that wrote it, `folder` where the agent worked, `author` the model; empty where that is not known.
    `modified` is in seconds since 1970, `size` in bytes. `entries`, `memories` and `responses` are None until
    they were counted. `problem` says in one sentence why the session can't be read. A `subagent`'s session is
    part of another one. The texts are the file's own: they are on one line, but not made printable.
    """

    path: str
    branch: str = ""
    format: str = ""
    agent: str = ""
    title: str = ""
    folder: str = ""
    author: str = ""
    modified: float = 0.0
    size: int = 0
    entries: int | None = None
    memories: int | None = None
    responses: int | None = None
    problem: str = ""
    subagent: bool = False

    @property
    def counted(self) -> bool:
        """Whether there is nothing more to be counted."""
        return self.entries is not None or bool(self.problem)

    @property
    def name(self) -> str:
        """The file's name, as far as it is text."""
        return text_of(os.path.basename(self.path))


def text_of(path: str) -> str:
    """A path as text: what is no UTF-8 in it is replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def clean(text: str) -> str:
    """A text as it is listed: on one line, without lone surrogates, not too long."""
    return " ".join(valid(text[: 4 * _TITLE]).split())[:_TITLE]


def valid(text: str) -> str:
    """A text without lone surrogates."""
    return text.encode("utf-8", "replace").decode()
