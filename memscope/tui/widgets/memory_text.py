"""What a memory says, all its distinct places, with the words underlined that the response shares with it."""

from collections.abc import Iterator

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from memscope.tui.safe import cut, one_line, printable
from memscope.tui.theme import Palette
from memscope.tui.view import MatrixView
from memscope.tui.widgets.strips import WORD, StripView, strip, wrap
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
        self._words = frozenset[str]()

    def show_memory(self, memory: int | None) -> None:
        """Show another memory from its start, or none."""
        self._memory, self._words = memory, frozenset[str]()
        self.rebuild()
        self.scroll_to(y=0, animate=False)

    def underline(self, words: frozenset[str]) -> None:
        """Underline these words, which are in lower case, until another memory is shown."""
        if words != self._words:
            self._words = words
            self.rebuild()

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
            *(
                strip(self._segments(text, start, end), width, self.palette.normal)
                for start, end in wrap(text, width)
            ),
        ]

    def _segments(self, text: str, start: int, end: int) -> Iterator[Segment]:
        """A line of the text, cut where an underlined word begins or ends."""
        plain = self.palette.normal
        for word in WORD.finditer(text, start, end):
            if word.group().casefold() in self._words:
                yield Segment(text[start : word.start()], plain)
                yield Segment(word.group(), plain + Style(underline=True, bold=True))
                start = word.end()
        yield Segment(text[start:end], plain)
