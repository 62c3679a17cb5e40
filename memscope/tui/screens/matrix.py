"""The Matrix screen: the heatmap, a panel and a sentence that follow its cursor, a legend, activities."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from memscope.tui.safe import one_line
from memscope.tui.screens.base import SessionScreen
from memscope.tui.screens.response import ResponseScreen
from memscope.tui.theme import Palette
from memscope.tui.view import RowOrder
from memscope.tui.widgets.activity_bar import ActivityBar
from memscope.tui.widgets.cell_panel import CellPanel
from memscope.tui.widgets.heatmap import Heatmap
from memscope.tui.widgets.legend import Legend
from memscope.tui.widgets.line import Line
from memscope.tui.wording import NO_MEMORIES, NO_RESPONSES, cell_sentence


class MatrixScreen(SessionScreen[None]):
    """Walk through the heatmap; Enter opens the response under the cursor."""

    CSS = """
    MatrixScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #cost { width: auto; text-align: right; color: $foreground 60%; }
        #follow { width: auto; color: $success; text-style: bold; }
        #follow.-paused { color: $warning; }
        #main { height: 1fr; }
        #heatmap { width: 1fr; }
        #panel { width: 35%; min-width: 36; max-width: 64; }
        #empty { height: 1fr; padding: 1 2; }
        #notes { color: $warning; }
        #problem { height: auto; max-height: 6; padding: 0 1; color: $error; }
        #status { height: 2; }
    }
    MatrixScreen.-very-wide {
        #status { height: 1; layout: horizontal; }
        #sentence { width: 1fr; }
        #legend { width: 76; }
    }
    MatrixScreen.-narrow {
        #panel, #cost { display: none; }
    }
    MatrixScreen.-short {
        #status { height: 1; }
        #legend { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "s",
            "next_order",
            "Sort",
            id="matrix.sort",
            tooltip="Order rows by weight or as in the conversation",
        ),
    ]

    def compose(self) -> ComposeResult:
        """Everything that the first paint shows."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line(id="cost")
            yield Line(id="follow")
        with VerticalScroll(id="empty", can_focus=False):
            yield Static(id="emptiness", markup=False)
        with Horizontal(id="main"):
            yield Heatmap(self.view, self.palette, id="heatmap")
            yield CellPanel(self.view, self.palette, id="panel")
        yield Line(id="notes")
        yield Static(id="problem", markup=False)
        with Container(id="status"):
            yield Line(id="sentence")
            yield Legend(self.view, self.palette, id="legend")
        yield ActivityBar(self.opened.session.activities, lambda: self.opened.work.busy)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Fill the lines."""
        self._show_emptiness()
        self.show_state()
        self._follow()

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Draw changed rows and whatever else depends on them."""
        self.heatmap.show_rows(sorted(memories), order_changed=order_changed)
        self.query_one(Legend).rebuild()
        self._follow()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self.heatmap.use(self.view, palette)
        panel, legend = self.query_one(CellPanel), self.query_one(Legend)
        panel.palette = legend.palette = palette
        panel.follow(self.heatmap.memory, self.heatmap.response)
        legend.rebuild()
        self._show_emptiness()
        self._follow()

    def show_state(self) -> None:
        """Say which conversation and scorer this is, what scoring costs, and what went wrong."""
        opened = self.opened
        memories, responses = self.view.matrix.shape
        parts = [
            one_line(opened.session.conversation.source.title),
            f"{memories} memories x {responses} responses",
            one_line(opened.session.scorer_label),
            "by proxy" if opened.session.proxy_for else "",
            "reconstructed" if opened.session.missing_context else "",
        ]
        self._line("title").say(
            Content.assemble(("memscope", "bold $primary"), "  ", " · ".join(filter(None, parts)))
        )
        self._line("cost").say(opened.cost)
        self._line("follow").say(opened.follow_state)
        self._line("follow").display = opened.following is not None
        self._line("follow").set_class(opened.follow_state.startswith("PAUSED"), "-paused")
        notes = opened.session.notes
        more = f" ({len(notes)} notes: ? shows all)" if len(notes) > 1 else ""
        self._line("notes").display = bool(notes)
        self._line("notes").say(one_line(notes[0]) + more if notes else "")
        problem = self.query_one("#problem", Static)
        problem.display = bool(opened.problem)
        problem.update(Content(opened.problem))
        self.bar.say(opened.idle)
        self._follow()

    def show_cell(self, memory: int, response: int) -> None:
        """Put the cursor on it."""
        if all(self.view.matrix.shape):
            self.heatmap.move_to(memory, response)

    def on_heatmap_moved(self) -> None:
        """The panel and the sentence follow the cursor."""
        self._follow()

    def on_heatmap_opened(self) -> None:
        """Open the response under the cursor."""
        self.app.push_screen(ResponseScreen(self.opened))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to sort without rows."""
        if action == "next_order":
            return all(self.view.matrix.shape)
        return super().check_action(action, parameters)

    def action_next_order(self) -> None:
        """Order the rows the other way."""
        other = {RowOrder.WEIGHT: RowOrder.CONVERSATION, RowOrder.CONVERSATION: RowOrder.WEIGHT}
        self.view.set_row_order(other[self.view.row_order])
        self.heatmap.show_rows((), order_changed=True)

    @property
    def heatmap(self) -> Heatmap:
        """The heatmap."""
        return self.query_one(Heatmap)

    def _line(self, name: str) -> Line:
        return self.query_one(f"#{name}", Line)

    def _follow(self) -> None:
        memory, response = self.opened.cell = self.heatmap.memory, self.heatmap.response
        if all(self.view.matrix.shape):
            self._line("sentence").say(
                cell_sentence(self.view, memory, response, max(12, self.size.width // 3))
            )
            self.query_one(CellPanel).follow(memory, response)

    def _emptiness(self) -> str:
        memories, responses = self.view.matrix.shape
        return "" if memories and responses else NO_RESPONSES if memories else NO_MEMORIES

    def _show_emptiness(self) -> None:
        said = self._emptiness()
        empty, page = bool(said), self.query_one("#empty")
        self.query_one("#emptiness", Static).update(Content(said))
        page.display = page.can_focus = empty
        self.query_one("#main").display = not empty
        if empty:
            page.focus()
        elif self.focused in (None, page):
            self.heatmap.focus()
        self.query_one("#status").display = not empty
