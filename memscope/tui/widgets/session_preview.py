"""How a session begins and ends, beside the list."""

from rich.segment import Segment
from textual.strip import Strip

from memscope.conversation.library import Preview
from memscope.conversation.library.listed import text_of
from memscope.conversation.model import Entry
from memscope.session_rows import Row
from memscope.tui.safe import one_line, printable
from memscope.tui.theme import Palette
from memscope.tui.widgets.strips import StripView, strip, text_strips
from memscope.tui.wording import response_text

_LINES = 4
"""Lines of each entry that are shown."""
_START = 2_000
"""Characters of an entry that are looked at for them."""


class SessionPreview(StripView):
    """What is known of one session, and its first and last entries."""

    DEFAULT_CSS = """
    SessionPreview {
        padding: 0 1;
        border-left: solid $panel;
    }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette = palette
        self._row: Row | None = None
        self._preview: Preview | None = None
        self._problem = ""

    def show_row(self, row: Row | None) -> None:
        """Show another session, whose entries are not there yet."""
        self._row, self._preview, self._problem = row, None, ""
        self.rebuild()
        self.scroll_to(y=0, animate=False)

    def show_preview(self, problem: str, preview: Preview | None) -> None:
        """Show its entries, or why there are none."""
        self._problem, self._preview = problem, preview
        self.rebuild()

    def build(self, width: int, height: int) -> list[Strip]:
        """Facts, the first entries, the last ones."""
        if self._row is None:
            return []
        listed = self._row.listed
        facts = [
            one_line(listed.title),
            one_line(text_of(listed.path)),
            " · ".join(
                filter(None, (one_line(listed.agent), one_line(listed.author), one_line(listed.format)))
            ),
            one_line(listed.folder),
            f"strongest memory: {one_line(self._row.strongest)}" if self._row.strongest else "",
            one_line(self._problem or listed.problem),
        ]
        styles = [self.palette.strong, *[self.palette.faint] * 3, self.palette.positive, self.palette.error]
        strips = [
            each
            for fact, style in zip(facts, styles, strict=True)
            if fact
            for each in text_strips(fact, width, style, most=3)
        ]
        if self._preview is not None:
            for entry in self._preview.first:
                strips += self._entry(entry, width)
            if self._preview.more:
                strips += [strip([Segment("⋮", self.palette.faint)], width, self.palette.normal)]
            for entry in self._preview.last:
                strips += self._entry(entry, width)
        return strips

    def _entry(self, entry: Entry, width: int) -> list[Strip]:
        who = f"memory {one_line(entry.memory_key)}" if entry.memory_key is not None else entry.role.value
        said = response_text(entry) if entry.is_response else printable(entry.text[:_START]).strip()
        return [
            Strip.blank(width, self.palette.normal),
            strip([Segment(who, self.palette.accent)], width, self.palette.normal),
            *text_strips(said, width, self.palette.normal, most=_LINES),
        ]
