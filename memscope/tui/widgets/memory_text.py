"""What a memory says, all its distinct places."""

from rich.segment import Segment
from textual.strip import Strip

from memscope.tui.safe import cut, one_line, printable
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.strips import StripView, strip, text_strips
from memscope.tui.wording import memory_places


class MemoryText(StripView):
    """Shows one memory's key, places and text; scrolls."""

    DEFAULT_CSS = """
    MemoryText {
        padding: 0 1;
        border-top: solid $panel;
    }
    """

    def __init__(
        self,
        view: MatrixView,
        palette: Palette,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._view = view
        self.palette = palette
        self._memory: int | None = None

    def show_memory(self, memory: int | None) -> None:
        """Show another memory from its start, or none."""
        self._memory = memory
        self.rebuild()
        self.scroll_to(y=0, animate=False)

    def build(self, width: int, height: int) -> list[Strip]:
        """A title line, then the text."""
        if self._memory is None:
            return []
        memory = self._view.conversation.memories[self._memory]
        places = memory_places(self._view.conversation, self._memory)
        title = [
            Segment(f"{cut(one_line(memory.key), max(1, width - 14))} ", self.palette.accent),
            Segment(f"· {places}", self.palette.faint),
        ]
        text = printable(self._view.conversation.memory_text(memory))
        return [
            strip(title, width, self.palette.normal),
            *text_strips(text, width, self.palette.normal),
        ]
