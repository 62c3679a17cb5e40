"""What every screen with a heatmap does: sort, filter, pin, zoom, find, and say what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.widgets import Input

from memscope.tui.arrangement import ColumnOrder, Normalisation, RowFilter, RowOrder, Zoom
from memscope.tui.commands import Choice
from memscope.tui.finding import Found, Matches, find
from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.base import SessionScreen
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.cell_panel import CellPanel
from memscope.tui.widgets.heatmap import Heatmap
from memscope.tui.widgets.legend import Legend
from memscope.tui.widgets.line import Line
from memscope.tui.wording import READ_CELLS

E = TypeVar("E", bound=StrEnum)


class HeatmapScreen(SessionScreen[None]):
    """A heatmap over a view, with a panel and a sentence that follow its cursor and a legend."""

    DEFAULT_CSS = """
    HeatmapScreen {
        #main { height: 1fr; }
        #heatmap { width: 1fr; }
        #panel { width: 35%; min-width: 36; max-width: 64; }
        #status { height: 2; }
        #find { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
    }
    HeatmapScreen.-very-wide {
        #status { height: 1; layout: horizontal; }
        #sentence { width: 1fr; }
        #legend { width: 92; }
    }
    HeatmapScreen.-narrow {
        #panel { display: none; }
    }
    HeatmapScreen.-short {
        #status { height: 1; }
        #legend { display: none; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_CELLS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "next_row_order", "Sort", id="matrix.sort", tooltip="Order rows otherwise"),
        Binding(
            "S",
            "next_column_order",
            "Sort columns",
            id="matrix.sort_columns",
            show=False,
            tooltip="Order columns by time or by dependence",
        ),
        Binding(
            "slash", "find", "Find", id="matrix.find", key_display="/", tooltip="Find words in keys and texts"
        ),
        Binding("n", "found(1)", "Next", id="matrix.find_next", show=False, tooltip="The next one found"),
        Binding(
            "N",
            "found(-1)",
            "Previous",
            id="matrix.find_previous",
            show=False,
            tooltip="The one found before",
        ),
        Binding(
            "F",
            "next_filter",
            "Filter",
            id="matrix.filter",
            show=False,
            tooltip="Only rows above the noise, with negative cells, with unscored cells; all",
        ),
        Binding(
            "P",
            "prefix",
            "Prefix",
            id="matrix.prefix",
            show=False,
            tooltip="Only keys that begin like this row's, up to its last slash; all",
        ),
        Binding("p", "pin", "Pin", id="matrix.pin", show=False, tooltip="Let this row stay on top"),
        Binding("z", "zoom(1)", "Zoom", id="matrix.zoom_in", tooltip="Wider cells, up to numbers"),
        Binding(
            "Z",
            "zoom(-1)",
            "Zoom out",
            id="matrix.zoom_out",
            show=False,
            tooltip="Narrower cells, down to all",
        ),
        Binding(
            "u",
            "next_normalisation",
            "Unit",
            id="matrix.unit",
            show=False,
            tooltip="Nats, nats a token, or share of the column",
        ),
        Binding("t", "strongest(1)", "Strongest", id="matrix.strongest", tooltip="The next strongest cell"),
        Binding(
            "T",
            "strongest(-1)",
            "Stronger",
            id="matrix.stronger",
            show=False,
            tooltip="The strongest cell before this one",
        ),
    ]

    def __init__(self, opened: Opened, view: MatrixView | None = None) -> None:
        """`view` is another one than that of the session's own matrix."""
        super().__init__(opened)
        self.view = view or opened.view
        self._matches: Matches | None = None
        """What holds the words that were looked for last; None before that."""
        self._at = -1
        """Which of what was found was shown last."""
        self._told = ""
        """What to say once the cursor has gone where it was sent."""
        self._walked: tuple[int, int] | None = None
        """Where the last step from strong to weak has led."""

    def compose_heatmap(self) -> ComposeResult:
        """The heatmap with its panel, the sentence, the legend and the find line."""
        with Horizontal(id="main"):
            yield from self.compose_main()
        with Container(id="status"):
            yield Line(id="sentence")
            yield Legend(self.view, self.palette, id="legend")
        yield Input(placeholder="words in keys and texts", id="find", compact=True)

    def compose_main(self) -> ComposeResult:
        """The heatmap, and what stands beside it."""
        yield Heatmap(self.view, self.palette, id="heatmap")
        yield CellPanel(self.view, self.palette, self.memscope.key("cell.open"), id="panel")

    def choices(self) -> Iterable[Choice]:
        """Every order, filter, unit and zoom by its name."""
        yield from super().choices()
        if not all(self.view.matrix.shape):
            return
        view = self.view
        for rows in RowOrder:
            yield f"Rows {rows}", "Order rows", partial(self._arrange, partial(view.set_row_order, rows))
        for columns in ColumnOrder:
            change = partial(view.set_column_order, columns)
            yield f"Columns {columns}", "Order columns", partial(self._arrange, change)
        for kept in RowFilter:
            which = partial(view.set_filter, kept, view.prefix)
            yield f"Show rows: {kept}", "Filter rows", partial(self._arrange, which)
        for unit in Normalisation:
            yield f"Unit {unit}", "Of numbers", partial(self._arrange, partial(view.set_normalisation, unit))
        for zoom in Zoom:
            yield f"Zoom {zoom}", "How wide cells are", partial(self._zoom_to, zoom)

    def on_mount(self) -> None:
        """Say what is under the cursor."""
        self.follow()

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Draw changed rows and whatever else depends on them."""
        self.heatmap.show_rows(sorted(memories), order_changed=order_changed)
        self.query_one(Legend).rebuild()
        self.follow()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self.heatmap.use(self.view, palette)
        for panel in self.query(CellPanel):
            panel.palette = palette
        legend = self.query_one(Legend)
        legend.palette = palette
        legend.rebuild()
        self.follow()

    def on_heatmap_moved(self) -> None:
        """The panel and the sentence follow the cursor."""
        self.follow()
        if self._told:
            self.say(self._told)
            self._told = ""

    def on_heatmap_hovered(self, message: Heatmap.Hovered) -> None:
        """Say what is under the mouse; once it has left, what is under the cursor."""
        if message.cell is None:
            self.follow()
        else:
            self.say(self.sentence(*message.cell, self.key_width))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Go to the first that is found."""
        words = message.value.strip()
        self._matches, self._at = find(self.view, words) if words else None, -1
        self.end_find()
        if self._found:
            self.action_found(1)
        elif words:
            self.say(f"nothing holds “{one_line(words)}”")

    def on_key(self, event: events.Key) -> None:
        """Escape leaves the find line."""
        if event.key == "escape" and isinstance(self.focused, Input):
            event.stop()
            self.end_find()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to arrange without cells."""
        if action == "found":
            return bool(self._found)
        if action in ("prefix", "pin", "strongest"):
            return self.heatmap.check_action(action, ())
        if f"action_{action}" in HeatmapScreen.__dict__:
            return all(self.view.matrix.shape)
        return super().check_action(action, parameters)

    def action_next_row_order(self) -> None:
        """Order the rows otherwise."""
        self._arrange(lambda: self.view.set_row_order(_after(self.view.row_order)))

    def action_next_column_order(self) -> None:
        """Order the columns otherwise."""
        self._arrange(lambda: self.view.set_column_order(_after(self.view.column_order)))

    def action_next_filter(self) -> None:
        """Show other rows only."""
        self._arrange(lambda: self.view.set_filter(_after(self.view.row_filter), self.view.prefix))

    def action_prefix(self) -> None:
        """Show only keys that begin like this one's, or all again."""
        folder, slash, _ = self.view.keys[self.heatmap.memory].rpartition("/")
        prefix = "" if self.view.prefix else folder + slash
        if prefix == self.view.prefix:
            self.say("this key has no slash that others could share")
            return
        self._arrange(lambda: self.view.set_filter(self.view.row_filter, prefix))

    def action_pin(self) -> None:
        """Let the row stay on top, or no longer."""
        if not self.view.is_set(self.heatmap.memory):
            self._arrange(lambda: self.view.pin(self.heatmap.memory))

    def action_next_normalisation(self) -> None:
        """Show numbers in another unit."""
        self._arrange(lambda: self.view.set_normalisation(_after(self.view.normalisation)))

    def action_zoom(self, wider: int) -> None:
        """Make cells wider or narrower."""
        zooms = list(Zoom)
        at = max(0, min(zooms.index(self.view.zoom) + wider, len(zooms) - 1))
        self._zoom_to(zooms[at])

    def action_strongest(self, step: int) -> None:
        """Walk from the strongest cell to weaker ones, or back."""
        cursor = self.heatmap.memory, self.heatmap.response
        going_on = self._walked == cursor
        found = self.view.strongest_after(cursor if going_on else None, step if going_on else 1)
        if found is None:
            said = "no weaker" if step > 0 else "no stronger"
            self.say(f"{said if going_on else 'no'} cell matters")
        else:
            self.heatmap.move_to(*found)
            self._walked = found

    def action_find(self) -> None:
        """Type what to look for."""
        line = self.query_one("#find", Input)
        line.display = True
        self.set_focus(line)

    def action_found(self, step: int) -> None:
        """Go to the next that was found, around the end."""
        all_found = self._found
        self._at = (max(self._at, -1 if step > 0 else 0) + step) % len(all_found)
        found = all_found[self._at]
        cursor = self.heatmap.memory, self.heatmap.response
        there = (
            cursor[0] if found.memory is None else found.memory,
            cursor[1] if found.response is None else found.response,
        )
        said = f"{self._at + 1} of {len(all_found)} found: {self._named(found)}"
        self._told = said if there != cursor else ""
        self.say(said)
        self.heatmap.move_to(*there)

    @property
    def cell(self) -> tuple[int, int]:
        """The row and the response under the cursor."""
        return self.heatmap.memory, self.heatmap.response

    @property
    def heatmap(self) -> Heatmap:
        """The heatmap."""
        return self.query_one(Heatmap)

    def say(self, sentence: str) -> None:
        """Say something until the cursor moves; it must be printable."""
        self.line("sentence").say(sentence)

    def follow(self) -> None:
        """Show what is under the cursor in the panel and in words."""
        if all(self.view.matrix.shape):
            self.say(self.sentence(*self.cell, self.key_width))
            for panel in self.query(CellPanel):
                panel.follow(*self.cell)

    @property
    def key_width(self) -> int:
        """The cells that a sentence gives to a row's name."""
        return max(12, self.size.width // 3)

    def _arrange(self, change: Callable[[], None]) -> None:
        """Change how rows and columns stand, and draw that."""
        change()
        self.heatmap.show_rows((), order_changed=True)
        self.query_one(Legend).rebuild()
        self.show_state()
        self.memscope.keep_settings()

    def _zoom_to(self, zoom: Zoom) -> None:
        self.view.zoom = zoom
        self.heatmap.show_zoom()
        self.show_state()
        self.memscope.keep_settings()

    def which_rows(self) -> str:
        """Which rows are shown, if not all: `trip/: 2 of 14 memories`."""
        view = self.view
        if not view.is_filtered:
            return ""
        which = [*([view.row_filter] if view.row_filter is not RowFilter.ALL else []), one_line(view.prefix)]
        shown, memories = len(view.order) - len(view.sets), view.matrix.shape[0]
        return f"{', '.join(filter(None, which))}: {shown:,} of {memories:,} memories"

    @property
    def _found(self) -> list[Found]:
        """What is shown of it; texts are looked through again only if the conversation is another one."""
        matches = self._matches
        if matches is not None and matches.conversation is not self.view.conversation:
            matches = self._matches = find(self.view, matches.words)
        return [] if matches is None else matches.shown(self.view)

    def _named(self, found: Found) -> str:
        if found.memory is not None:
            return one_line(self.view.keys[found.memory])
        return f"r{(found.response or 0) + 1}"

    def end_find(self) -> None:
        """Back from the find line to the heatmap."""
        line = self.query_one("#find", Input)
        line.value, line.display = "", False
        self.heatmap.focus()
        self.refresh_bindings()


def _after(value: E) -> E:
    """The next member of an enumeration, around the end."""
    members = list(type(value))
    return members[(members.index(value) + 1) % len(members)]
