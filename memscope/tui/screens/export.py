"""The prompt that asks where to write a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from memscope.errors import InputError
from memscope.tui.safe import printable

if TYPE_CHECKING:
    from memscope.tui.app import MemscopeApp

Write = Callable[[Path], Callable[[], None]]
"""Makes what writes to a path, which a thread then does; both may raise MemscopeError."""


class ExportScreen(ModalScreen[Path]):
    """Dismissed with the path written to, or None."""

    CSS = """
    ExportScreen {
        align: center middle;
        background: $background 60%;
        & > Vertical {
            width: 90%;
            max-width: 80;
            height: auto;
            background: $surface;
            border: round $primary;
            padding: 0 1;
        }
        Input { border: none; height: 1; padding: 0; background: $panel; }
        Static { height: auto; color: $foreground 70%; }
        Static.-problem { color: $warning; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", id="export.close", tooltip="Write nothing"),
    ]

    def __init__(self, title: str, hint: str, path: Path, write: Write) -> None:
        """`hint` says what can be written; `path` is proposed."""
        super().__init__()
        self._title = title
        self._hint = hint
        self._path = path
        self._write = write
        self._confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        """The path and one line under it."""
        self._hint += f" Enter writes, {cast('MemscopeApp', self.app).key('export.close')} leaves."
        with Vertical() as box:
            box.border_title = self._title
            yield Input(str(self._path), select_on_focus=False)
            yield Static(Content(self._hint), markup=False)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._confirmed = None
        self._say(self._hint, problem=False)

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        try:
            path = Path(message.value.strip()).expanduser()
            exists, is_folder = path.exists(), path.is_dir()
        except (OSError, RuntimeError, ValueError) as error:
            self._say(f"No such place: {error}", problem=True)
            return
        if is_folder:
            self._say(f"{path} is a folder: name a file in it.", problem=True)
            return
        if exists and self._confirmed != path:
            self._confirmed = path
            self._say(f"{path.name} exists already. Enter again replaces it.", problem=True)
            return
        app = cast("MemscopeApp", self.app)
        if path.suffix.lower() == ".svg":
            # Only here, because the first paint does not need it.
            from memscope.export import check_target

            try:
                if app.is_open:
                    check_target(app.opened.session, path)
            except InputError as error:
                self._say(str(error), problem=True)
                return
            self.dismiss(None)
            app.save_picture(path)
            return
        if not app.is_open:
            self._say(f"{path.name}: a picture of the screen ends in .svg.", problem=True)
            return

        def written(problem: str | None) -> None:
            if not self.is_current:
                app.opened.session.activities.notify(problem or f"wrote {path}")
            elif problem is not None:
                self._say(problem, problem=True)
            else:
                self.dismiss(path)

        app.opened.work.write(lambda: self._write(path), written)

    def _say(self, text: str, *, problem: bool) -> None:
        line = self.query_one(Static)
        line.set_class(problem, "-problem")
        line.update(Content(printable(text)))
