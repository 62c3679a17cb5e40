"""The transcript: every entry of a conversation as a tree of lines, one Line-API widget with a cursor."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.tui.theme import Palette
from memscope.tui.transcript.find import Finder
from memscope.tui.transcript.nodes import HEAD, Kind, Line, Part, Spot
from memscope.tui.transcript.tree import Transcript
from memscope.tui.view import MatrixView
from memscope.tui.widgets.transcript_lines import TranscriptLines

_FAR = 10**9
_CONTEXT = 3
"""The share of the height, its inverse, that is shown above a line that was jumped to."""


class TranscriptView(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws a `Transcript` of the view's conversation. What is drawn is exact; how far there is to scroll
    is a guess while texts are unfolded that were not yet in sight."""

    ALLOW_SELECT = False
    HELP = "The conversation, under each response the memories that made it, under each memory what it made."
    DEFAULT_CSS = """
    TranscriptView {
        background: $background;
        scrollbar-size: 1 1;
        overflow-x: hidden;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="transcript.up", show=False, tooltip="The line above"),
        Binding("down,j", "move(1)", "Down", id="transcript.down", show=False, tooltip="The line below"),
        Binding(
            "right,l",
            "unfold",
            "Unfold",
            id="transcript.unfold",
            show=False,
            tooltip="Unfold by a step, then go to what is below",
        ),
        Binding(
            "left,h",
            "fold",
            "Fold",
            id="transcript.fold",
            show=False,
            tooltip="Fold by a step, then go to what is above",
        ),
        Binding(
            "pageup", "page(-1)", "Page up", id="transcript.page_up", show=False, tooltip="One screen up"
        ),
        Binding(
            "pagedown",
            "page(1)",
            "Page down",
            id="transcript.page_down",
            show=False,
            tooltip="One screen down",
        ),
        Binding("g,home", f"move(-{_FAR})", "Top", id="transcript.top", show=False, tooltip="The first line"),
        Binding("G,end", f"move({_FAR})", "End", id="transcript.end", show=False, tooltip="The last line"),
        Binding(
            "enter",
            "open",
            "Matrix",
            id="transcript.open",
            tooltip="This response, memory or score in the matrix",
        ),
        Binding("space", "flip", "Fold", id="transcript.toggle", tooltip="Unfold the whole text, or fold it"),
        Binding(
            "n",
            "next(1)",
            "Next",
            id="transcript.next",
            tooltip="The next response; after a search the next line found",
        ),
        Binding(
            "p,N",
            "next(-1)",
            "Previous",
            id="transcript.previous",
            show=False,
            tooltip="The response before; after a search the line found before",
        ),
        Binding(
            "E", "unfold_all", "Unfold all", id="transcript.unfold_all", tooltip="Unfold everything by a step"
        ),
        Binding(
            "C",
            "fold_all",
            "Fold all",
            id="transcript.fold_all",
            show=False,
            tooltip="Fold everything by a step",
        ),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another line."""

    @dataclass
    class Chosen(Message):
        """The user wants to see a cell in the matrix; `memory` None leaves that open."""

        memory: int | None
        response: int

    def __init__(self, view: MatrixView, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view = view
        self._transcript = Transcript(view)
        self._lines = TranscriptLines(view, self._transcript, palette)
        self.finder: Finder | None = None
        """What is searched for, and shown in reverse; None without a search."""
        self.spot = Spot(0, HEAD)
        """Where the cursor is."""
        self._top = self.spot
        self._sight: list[Line] = []
        self._strips: list[Strip] = []
        self._placing = False

    def on_resize(self) -> None:
        """Wrap texts to the new width, the cursor's line where it was if it is in sight."""
        if self._width > 0:
            self._keeping(lambda: self._transcript.set_width(self._lines.text_width(self._width)))

    def show_rows(self, memories: Sequence[int]) -> None:
        """Draw changed values; the lines looked at stay where they are."""
        self._keeping(lambda: self._transcript.update(memories))

    def use(self, palette: Palette) -> None:
        """Draw with another palette, or whatever the view's values have become."""
        self._lines = TranscriptLines(self._view, self._transcript, palette)
        self._keeping(self._transcript.recount)

    def show_conversation(self, palette: Palette) -> None:
        """Show the conversation as it has become; the end stays in sight if it was."""
        empty = not len(self._transcript)
        at_end = not empty and bool(self._sight) and self._sight[-1].spot == self._transcript.last
        cursor_at_end = at_end and self.spot == self._transcript.last
        before = len(self._transcript)

        def adopt() -> None:
            same = self._transcript.adopt()
            if self.finder is not None:
                self.finder.look_again(same)
            self._lines = TranscriptLines(self._view, self._transcript, palette)
            self._transcript.set_width(self._lines.text_width(self._width))

        self._keeping(adopt)
        if at_end and len(self._transcript) > before:
            if cursor_at_end:
                self._go(self._transcript.last)
            else:
                self._place(self._transcript.last)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what leads somewhere."""
        if not len(self._transcript):
            return False
        if action == "next":
            return bool(self.finder.found if self.finder else self._transcript.responses)
        return True

    def go_to(self, entry: int, part: Part = HEAD) -> None:
        """Put the cursor on a node, unfolded if need be, with some lines above it in sight."""
        if part != HEAD:
            self._go(self._transcript.reveal(entry, part), far=True)
        else:
            self._go(Spot(entry, HEAD), far=True)

    def action_move(self, down: int) -> None:
        """Move the cursor by lines."""
        if abs(down) < _FAR:
            self._go(self._transcript.move(self.spot, down))
        else:
            self._go(self._transcript.last if down > 0 else self._transcript.spot_at(0))

    def action_page(self, direction: int) -> None:
        """Move the cursor by a screen."""
        self.action_move(direction * max(1, self.size.height - 1))

    def action_unfold(self) -> None:
        """Unfold what is under the cursor, or go to the first thing below it."""
        self._go(self._transcript.unfold(self.spot))

    def action_fold(self) -> None:
        """Fold what is under the cursor, or go to what it stands under."""
        self._go(self._transcript.fold(self.spot))

    def action_flip(self) -> None:
        """Unfold what is under the cursor as a whole, or fold it."""
        self._go(self._transcript.toggle(self.spot))

    def action_unfold_all(self) -> None:
        """Unfold everything by a step."""
        self._keeping(self._transcript.unfold_all)
        self.post_message(self.Moved())

    def action_fold_all(self) -> None:
        """Fold everything by a step."""
        self._keeping(self._transcript.fold_all)
        self.post_message(self.Moved())

    def action_next(self, step: int) -> None:
        """Go to the next response or the one before; during a search to where something is found."""
        if self.finder is not None:
            self.show_found(step)
            return
        responses, entry = self._transcript.responses, self.spot.entry
        at = bisect_right(responses, entry) if step > 0 else bisect_left(responses, entry) - 1
        if 0 <= at < len(responses):
            self.go_to(responses[at])

    def action_open(self) -> None:
        """Show a response, a memory or a score in the matrix; fold or unfold what is none of these."""
        memory, response = self.cell
        if response is None and memory is not None:
            strongest = self._view.reach(memory)[:1]
            response = strongest[0].response if strongest else None
        if response is None or self.spot.part.kind not in (
            Kind.ENTRY,
            Kind.INFLUENCE,
            Kind.MEMORY,
            Kind.EFFECT,
        ):
            self.action_flip()
            return
        if memory is None:
            memory = next((cell.memory for cell in self._view.ranking(response)[:1] if cell.matters), None)
        self.post_message(self.Chosen(memory, response))

    @property
    def cell(self) -> tuple[int | None, int | None]:
        """The memory and the response under the cursor, as far as there are any."""
        if not len(self._transcript):
            return None, None
        part = self.spot.part
        if part.kind in (Kind.INFLUENCE, Kind.EFFECT):
            return part.number, part.response
        if part.kind is Kind.MEMORY:
            return part.number, None
        entry = self.spot.entry
        return self._transcript.memory_of(entry), self._transcript.response_of(entry)

    def find(self, finder: Finder | None) -> None:
        """Show where this is found, or nothing any more."""
        self.finder = finder
        self._place(self._top)

    def finder_for(self, words: str) -> Finder:
        """Looks for words in this transcript."""
        return Finder(self._view, self._transcript, words)

    def show_found(self, step: int, *, here: bool = False) -> None:
        """Go to the next line found (1), or the one before (-1); it may be `here`, under the cursor."""
        assert self.finder is not None
        spot = self.finder.step(self.spot._replace(line=-1) if here else self.spot, step)
        if spot is not None:
            self._go(spot, far=True)

    def on_click(self, event: events.Click) -> None:
        """Move to the line clicked; its mark folds and unfolds, a second click is Enter."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= len(self._sight):
            return
        line = self._sight[offset.y]
        self._go(line.spot)
        if offset.x in self._lines.fold_mark(line, self._width):
            change = (
                self._transcript.unfold if self._transcript.can_unfold(self.spot) else self._transcript.fold
            )
            self._go(change(self.spot))
        elif event.chain == 2:
            self.action_open()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Show what the scrollbar or the wheel has led to; a short way is exact."""
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        if self._placing or not self._sight:
            return
        line = round(new_value)
        by = line - self._transcript.line_of(self._top)
        near = abs(by) <= 2 * self.size.height
        self._place(self._transcript.move(self._top, by) if near else self._transcript.spot_at(line))

    def render_line(self, y: int) -> Strip:
        """One line of the viewport, at `y` from its top."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    @property
    def _width(self) -> int:
        """The width of lines; the scrollbar's cell stays free even without one, so that texts keep their
        lines."""
        return self.size.width - 1

    def _go(self, spot: Spot, *, far: bool = False) -> None:
        """Move the cursor and scroll as little as shows it; `far` shows what is around it too."""
        self.spot = spot
        height = max(1, self.size.height)
        line, top = self._transcript.line_of(spot), self._transcript.line_of(self._top)
        if line < top:
            self._place(self._transcript.move(spot, -(height // _CONTEXT)) if far else spot)
        elif line >= top + height:
            above = height // _CONTEXT if far else height - 1
            self._place(self._transcript.move(spot, -above))
        else:
            self._place(self._top)
        self.post_message(self.Moved())

    def _keeping(self, change: Callable[[], None]) -> None:
        """Change the transcript; the cursor's line stays where it is if in sight, as far down as there is
        room, else the first one."""
        row = next((row for row, line in enumerate(self._sight) if line.spot == self.spot), None)
        change()
        if not len(self._transcript):
            self._draw([])
            return
        self.spot = self._transcript.shown(self.spot)
        top = self._transcript.shown(self._top)
        if row is not None:
            top = self._transcript.move(self.spot, -min(row, max(0, self.size.height - 1)))
        self._place(top)

    def _place(self, top: Spot) -> None:
        """Show the lines from `top` on, or the last ones if there are too few."""
        height = max(1, self.size.height)
        if not len(self._transcript) or self._width <= 0:
            return
        lines = self._transcript.lines(top, height)
        if len(lines) < height:
            lines = self._transcript.lines(self._transcript.move(self._transcript.last, 1 - height), height)
        self._top = lines[0].spot
        self._placing = True
        self._set_height(self._transcript.height)
        self.scroll_to(y=self._transcript.line_of(self._top), animate=False)
        self._placing = False
        self._draw(lines)

    def _set_height(self, height: int) -> None:
        """Say how many lines there are. A new `virtual_size` lays the screen out and sends every line again,
        which is needed only if a scrollbar comes or goes."""
        size = Size(self._width, height)
        if (height > self.size.height) != self.show_vertical_scrollbar:
            self.virtual_size = size
        elif size != self.virtual_size:
            self.set_reactive(TranscriptView.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = height

    def _draw(self, lines: list[Line]) -> None:
        """Draw the lines that differ from what is on the screen."""
        before, self._sight = self._strips, lines
        pattern = self.finder.pattern if self.finder else None
        self._strips = [
            self._lines.line(line, self._width, here=line.spot == self.spot, found=pattern) for line in lines
        ]
        count = max(len(before), len(self._strips))
        known = min(len(before), len(self._strips))
        changed = [y for y in range(count) if y >= known or before[y] != self._strips[y]]
        if len(changed) == count:
            self.refresh()
        elif changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))
