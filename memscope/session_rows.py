"""A session beside what memscope knows of it: whether it is of this folder, and how it was scored last."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from memscope.conversation.library import Library, Listed
from memscope.scoring.runs import RunInfo, Runs


@dataclass(frozen=True)
class Row:
    """A session, whether it is of the current directory (`here`), and its newest run."""

    listed: Listed
    here: bool
    run: RunInfo | None

    @property
    def project(self) -> str:
        """The name of the folder that the agent worked in; empty if that is not known."""
        return os.path.basename(os.path.normpath(self.listed.folder)) if self.listed.folder else ""

    @property
    def strongest(self) -> str:
        """The largest weight, in nats, and its memory's key; empty if nothing was scored."""
        if self.run is None or self.run.strongest is None or self.run.weight is None:
            return ""
        return f"{self.run.weight:.2f} {self.run.strongest}"


def rows_of(found: Iterable[Listed], library: Library, runs: Runs) -> list[Row]:
    """The sessions with their newest runs, in their order; without a branch that of the whole file."""
    sessions = list(found)
    newest: dict[tuple[str, str], RunInfo] = {}
    for (path, branch), run in runs.latest({each.path for each in sessions}).items():
        newest[path, branch] = run
        if (path, "") not in newest or newest[path, ""].id < run.id:
            newest[path, ""] = run
    return [Row(each, library.is_here(each), newest.get((each.path, each.branch))) for each in sessions]
