"""The list of sessions: one line each, drawn for what is in sight; a cursor stays on its session."""

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from memscope.session_rows import Row
from memscope.tui.safe import fit, one_line
from memscope.tui.sessions_view import Identity, SessionsView, identity
from memscope.tui.theme import Palette
from memscope.tui.widgets.row_list import RowList
from memscope.tui.widgets.strips import strip
from memscope.wording import age

LIVE = 60.0
"""Seconds after its last change for which a session counts as live."""
_COLUMNS = (("agent", 11, 76), ("project", 14, 70), ("age", 10, 0), ("ent", 6, 90), ("mem", 5, 60))
"""Names, widths in cells, and the width of the list from which on a column is there."""
_MORE = (("resp", 6, 60), ("strongest memory", 24, 118))


class SessionList(RowList[Row]):
    """Draws a `SessionsView`."""

    HELP = "Every session that was found on this machine."

    def __init__(
        self,
        view: SessionsView,
        palette: Palette,
        back: str,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`back` is the key that ends a search."""
        super().__init__(palette, id=id)
        self._view = view
        self._back = back
        self.now = 0.0
        """The time of which ages are told, in seconds since 1970."""

    @property
    def items(self) -> list[Row]:
        """The sessions of the view."""
        return self._view.shown

    @property
    def emptiness(self) -> str:
        """What to say where no session passes the search."""
        return f"no session holds this; {self._back} shows all again" if self._view.query else ""

    def identity(self, item: Row) -> Identity:
        """The file, and the session in it."""
        return identity(item.listed)

    def header(self, width: int) -> str:
        """The names of the columns."""
        return self._text("title", [name for name, *_ in self._columns(width)], width, indent=3)

    def drawn(self, item: Row, width: int, *, here: bool) -> Strip:
        """A session."""
        listed = item.listed
        live = 0 <= self.now - listed.modified < LIVE
        counts = [listed.entries, listed.memories, listed.responses]
        entries, memories, responses = (
            "-" if listed.problem else "…" if count is None else f"{count:,}" for count in counts
        )
        values = {
            "agent": listed.agent or listed.format,
            "project": item.project,
            "age": age(self.now - listed.modified),
            "ent": entries.rjust(6),
            "mem": memories.rjust(5),
            "resp": responses.rjust(6),
            "strongest memory": item.strongest,
        }
        title = f"! {listed.problem}" if listed.problem else listed.title
        text = self._text(title, [values[name] for name, *_ in self._columns(width)], width, indent=3)
        style: Style = self.palette.strong if here else self.palette.normal
        if not here and (listed.problem or not item.here):
            style = self.palette.error if listed.problem else self.palette.normal
        marks = [
            Segment(">" if here else " ", self.palette.accent),
            Segment("●" if live else "✓" if item.run is not None else " ", self.palette.positive),
        ]
        return strip([*marks, Segment(text[2:], style)], width, self.palette.normal)

    def _columns(self, width: int) -> list[tuple[str, int, int]]:
        return [column for column in (*_COLUMNS, *_MORE) if width >= column[2]]

    def _text(self, title: str, values: list[str], width: int, indent: int = 0) -> str:
        """A line of exactly `width` cells, the title in what the columns leave."""
        columns = self._columns(width)
        left = width - sum(size + 1 for _, size, _ in columns)
        cells = [fit(" " * indent + one_line(title), left)]
        cells += [fit(one_line(value), size) for value, (_, size, _) in zip(values, columns, strict=True)]
        return " ".join(cells)
