"""What the screens of past matrices share: they are walked through like the present one, and never scored."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from memscope.scoring.matrix import Metric, ScoreMatrix
from memscope.tui.opened import Opened
from memscope.tui.past_runs import laid_over
from memscope.tui.screens.heatmap import HeatmapScreen
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView

_NOT_HERE = ("score", "score_again", "follow", "export")
"""What a session's screens do with the present matrix."""


class PastScreen(HeatmapScreen):
    """Shows a matrix that is not the session's own; `laid` is the conversation below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,q", "back", "Back", id="past.back", key_display="esc", tooltip="Back to the list of runs"
        ),
    ]

    def __init__(self, opened: Opened, matrix: ScoreMatrix, metric: Metric) -> None:
        self.laid = laid_over(opened.session.conversation, matrix.keys, matrix.responses)
        super().__init__(opened, MatrixView(self.laid.conversation, matrix, metric))

    def take(self, matrix: ScoreMatrix) -> None:
        """Show this matrix, over the conversation as it is now."""
        self.laid = laid_over(self.opened.session.conversation, matrix.keys, matrix.responses)
        self.view.adopt(self.laid.conversation, matrix)

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Cells of the present matrix are not shown here."""

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self.view.set_scale(palette.scale)
        super().show_all(palette)

    def show_conversation(self, palette: Palette) -> None:
        """Lay the matrix over what the conversation has become."""
        self.take(self.view.matrix)
        self.show_all(palette)

    def on_heatmap_opened(self) -> None:
        """Go to the present cell, if there is one."""
        cell = self.laid.present(self.heatmap.memory, self.heatmap.response)
        if cell is None:
            self.say("this cell is no longer in the conversation")
        else:
            self.memscope.show_cell(*cell)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is scored here, and what is compared is not written."""
        return action not in _NOT_HERE and super().check_action(action, parameters)

    def action_back(self) -> None:
        """Back to the list; from the find line to the heatmap."""
        if isinstance(self.focused, Input):
            self.end_find()
        else:
            self.dismiss()
