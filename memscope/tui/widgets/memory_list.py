"""The memories that stand before one response, by what they did to it; one is chosen."""

from dataclasses import dataclass

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView, Ranked
from memscope.tui.widgets.memory_rows import largest_value, memory_row
from memscope.tui.widgets.strips import StripView, strip


class MemoryList(StripView):
    """Keeps the chosen memory when values or the response change, as far as that memory is there."""

    DEFAULT_CSS = """
    MemoryList {
        padding: 0 1;
        border-right: solid $panel;
    }
    """

    @dataclass
    class Chosen(Message):
        """Another memory has been chosen."""

        memory: int

    def __init__(
        self,
        view: MatrixView,
        palette: Palette,
        response: int,
        memory: int,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._view = view
        self.palette = palette
        self._ranking: list[Ranked] = []
        self.memory: int | None = memory
        self.show_response(response)

    def show_response(self, response: int) -> None:
        """List the memories of a response, or of the same one anew."""
        self._response = response
        self._ranking = self._view.ranking(response)
        memories = [each.memory for each in self._ranking]
        if self.memory not in memories:
            self.memory = memories[0] if memories else None
        if self.is_attached:
            self.rebuild()
            self._show_chosen()

    def on_resize(self) -> None:
        """Keep the chosen memory in sight."""
        super().on_resize()
        self._show_chosen()

    def step(self, down: int) -> None:
        """Choose the memory so many lines below."""
        if self._ranking:
            self._choose(max(0, min(self._line + down, len(self._ranking) - 1)))

    def on_click(self, event: events.Click) -> None:
        """Choose the memory clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y + self.scroll_offset.y < len(self._ranking):
            self._choose(offset.y + self.scroll_offset.y)

    def build(self, width: int, height: int) -> list[Strip]:
        """One line a memory."""
        if not self._ranking:
            text = Segment("no memory stands before it", self.palette.faint)
            return [strip([text], width, self.palette.normal)]
        largest = largest_value(self._ranking)
        return [
            memory_row(self._view, self.palette, each, largest, width, here=each.memory == self.memory)
            for each in self._ranking
        ]

    @property
    def _line(self) -> int:
        return next((line for line, each in enumerate(self._ranking) if each.memory == self.memory), 0)

    def _choose(self, line: int) -> None:
        memory = self._ranking[line].memory
        if memory != self.memory:
            self.memory = memory
            self.rebuild()
            self._show_chosen()
            self.post_message(self.Chosen(memory))

    def _show_chosen(self) -> None:
        self.scroll_line_into_view(self._line)
