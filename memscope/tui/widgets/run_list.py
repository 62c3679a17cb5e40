"""The list of runs: newest first, one marked to compare with; a cursor stays on its run."""

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.strip import Strip

from memscope.scoring.runs import RunInfo
from memscope.tui.theme import Palette
from memscope.tui.widgets.line_list import LineList
from memscope.tui.widgets.run_lines import run_header, run_line


class RunList(LineList):
    """Runs of one session."""

    HELP = "Every scoring of this session; Enter opens one as it was."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="run.open", tooltip="Open the run as it was"),
        Binding(
            "space", "mark", "Mark", id="run.mark", tooltip="Mark the run to compare others with, or no more"
        ),
    ]

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(palette, id=id)
        self.runs: Sequence[RunInfo] = ()
        self.now = time.time()
        """The time of which ages are told, in seconds since 1970."""
        self.marked: int | None = None
        """The id of the run to compare others with."""
        self.doomed: int | None = None
        """The id of the run that the next press deletes."""

    @property
    def run(self) -> RunInfo | None:
        """The run under the cursor."""
        return self.runs[self.line] if self.runs else None

    @property
    def pair(self) -> tuple[RunInfo, RunInfo] | None:
        """The two runs to compare: the marked one, or else the one before, with that under the cursor."""
        if self.run is None:
            return None
        other = next((run for run in self.runs if run.id == self.marked), None)
        if (other is None or other is self.run) and self.line + 1 < len(self.runs):
            other = self.runs[self.line + 1]
        return None if other is None or other is self.run else (other, self.run)

    def show_runs(self, runs: Sequence[RunInfo]) -> None:
        """Show these; a cursor that was moved off the newest run stays on its own."""
        at = None if self.run is None or self.line == 0 else self.run.id
        line = next((line for line, run in enumerate(runs) if run.id == at), self.line if at else 0)
        ids = {run.id for run in runs}
        self.runs, self.now = runs, time.time()
        self.marked = self.marked if self.marked in ids else None
        self.doomed = None
        self.show(line)

    def let_go(self) -> None:
        """Spare the run that is to be deleted; if there is none, mark none any more."""
        if self.doomed is None:
            self.marked = None
        self.doomed = None
        self.refresh()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or no more."""
        if self.run is not None:
            self.marked = None if self.run.id == self.marked else self.run.id
            self.refresh()
            self.post_message(self.Moved(self))

    @property
    def count(self) -> int:
        """How many runs there are."""
        return len(self.runs)

    def header(self, width: int) -> Strip:
        """The columns."""
        return run_header(width, self.palette)

    def item(self, line: int, width: int, *, here: bool) -> Strip:
        """One run."""
        run = self.runs[line]
        return run_line(
            run,
            self.now,
            width,
            self.palette,
            here=here,
            marked=run.id == self.marked,
            doomed=run.id == self.doomed,
        )
