"""What the screens of past matrices share: they are walked through like the present one, and never scored."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from memscope.scoring.matrix import ScoreMatrix
from memscope.tui.opened import Opened
from memscope.tui.past_runs import laid_over
from memscope.tui.screens.base import SessionScreen
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView, RowOrder
from memscope.tui.widgets.heatmap import Heatmap
from memscope.tui.widgets.legend import Legend
from memscope.tui.widgets.line import Line

_NOT_HERE = ("score", "score_again", "follow", "export")
"""What a session's screens do with the present matrix."""


class PastScreen(SessionScreen[None]):
    """Shows `past`, a view of a matrix that is not the session's own; `laid` is the conversation below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "next_order", "Sort", id="past.sort", tooltip="Order the rows otherwise"),
        Binding(
            "escape,q", "back", "Back", id="past.back", key_display="esc", tooltip="Back to the list of runs"
        ),
    ]

    def __init__(self, opened: Opened, matrix: ScoreMatrix, past: MatrixView) -> None:
        super().__init__(opened)
        self.past = past
        self.take(matrix)

    def take(self, matrix: ScoreMatrix) -> None:
        """Show this matrix, over the conversation as it is now."""
        self.laid = laid_over(self.opened.session.conversation, matrix.keys, matrix.responses)
        self.past.adopt(self.laid.conversation, matrix)

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self.past.set_scale(palette.scale)
        self.heatmap.use(self.past, palette)
        legend = self.query_one(Legend)
        legend.palette = palette
        legend.rebuild()
        self.follow_cursor()

    def show_conversation(self, palette: Palette) -> None:
        """Lay the matrix over what the conversation has become."""
        self.take(self.past.matrix)
        self.show_all(palette)

    def show_state(self) -> None:
        """Say what goes on with the present matrix meanwhile."""
        self.bar.say(self.opened.problem)

    def follow_cursor(self) -> None:
        """Say what lies under the cursor."""
        raise NotImplementedError

    def on_heatmap_moved(self) -> None:
        """Everything else follows the cursor."""
        self.follow_cursor()

    def on_heatmap_opened(self) -> None:
        """Go to the present cell, if there is one."""
        cell = self.laid.present(self.heatmap.memory, self.heatmap.response)
        if cell is None:
            self.opened.notify("this cell is no longer in the conversation")
            self.bar.wake()
        else:
            self.memscope.show_cell(*cell)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is scored or written here."""
        if action in _NOT_HERE:
            return False
        if action in ("next_metric", "next_order"):
            return all(self.past.matrix.shape)
        return super().check_action(action, parameters)

    def action_next_order(self) -> None:
        """Order the rows another way."""
        orders = list(RowOrder)
        self.past.set_row_order(orders[(orders.index(self.past.row_order) + 1) % len(orders)])
        self.heatmap.show_rows((), order_changed=True)

    def action_back(self) -> None:
        """Back to the list."""
        self.dismiss()

    @property
    def heatmap(self) -> Heatmap:
        """The heatmap."""
        return self.query_one(Heatmap)

    @property
    def key_width(self) -> int:
        """The cells that a sentence gives to a memory's key."""
        return max(12, self.size.width // 3)

    def line(self, name: str) -> Line:
        """A line by its id."""
        return self.query_one(f"#{name}", Line)
