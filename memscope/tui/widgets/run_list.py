"""The list of runs: newest first, one marked to compare with; a cursor stays on its run."""

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.strip import Strip

from memscope.scoring.runs import RunInfo
from memscope.tui.theme import Palette
from memscope.tui.widgets.row_list import RowList
from memscope.tui.widgets.run_lines import run_header, run_line


class RunList(RowList[RunInfo]):
    """Runs of one session."""

    HELP = "Every scoring of this session."
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
    def items(self) -> Sequence[RunInfo]:
        """The runs."""
        return self.runs

    @property
    def pair(self) -> tuple[RunInfo, RunInfo] | None:
        """The two runs to compare: the marked one, or else the one before, with that under the cursor."""
        run = self.item
        if run is None:
            return None
        other = next((each for each in self.runs if each.id == self.marked), None)
        if other is None or other is run:
            other = next(iter(self.runs[self._line + 1 :]), None)
        return None if other is None else (other, run)

    def show_runs(self, runs: Sequence[RunInfo]) -> None:
        """Show these; a cursor that was moved off the newest run stays on its own."""
        self._at = None if self.item is None or self._line == 0 else self.item.id
        ids = {run.id for run in runs}
        self.runs, self.now = runs, time.time()
        self.marked = self.marked if self.marked in ids else None
        self.doomed = None
        self.show()

    def let_go(self) -> None:
        """Spare the run that is to be deleted; if there is none, mark none any more."""
        if self.doomed is None:
            self.marked = None
        self.doomed = None
        self.refresh()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or no more."""
        if self.item is not None:
            self.marked = None if self.item.id == self.marked else self.item.id
            self.refresh()
            self.post_message(self.Moved())

    def identity(self, item: RunInfo) -> int:
        """The run's id."""
        return item.id

    def header(self, width: int) -> str:
        """The columns."""
        return run_header(width)

    def drawn(self, item: RunInfo, width: int, *, here: bool) -> Strip:
        """A run."""
        return run_line(
            item,
            self.now,
            width,
            self.palette,
            here=here,
            marked=item.id == self.marked,
            doomed=item.id == self.doomed,
        )
