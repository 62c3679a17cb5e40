"""One line of text that changes often and never moves anything else."""

from textual.content import Content
from textual.widget import Widget


class Line(Widget):
    """Shows `Content`, cut with an ellipsis; unless its width is `auto`, an update draws only itself."""

    DEFAULT_CSS = """
    Line {
        height: 1;
        padding: 0 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, text: Content | str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._content = Content(text) if isinstance(text, str) else text

    @property
    def text(self) -> str:
        """What it says, without styles."""
        return self._content.plain

    def say(self, text: Content | str) -> None:
        """Show something else; a string must be printable and is never markup."""
        content = Content(text) if isinstance(text, str) else text
        if content.plain != self._content.plain or content.spans != self._content.spans:
            self._content = content
            self.refresh(layout=self.styles.auto_dimensions)

    def render(self) -> Content:
        """The text."""
        return self._content
