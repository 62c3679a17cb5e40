"""The prompt that asks which branch of a conversation to open."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from memscope.conversation.model import Branch
from memscope.tui.safe import one_line
from memscope.tui.screens.base import MemscopeScreen


class BranchesScreen(MemscopeScreen[str], ModalScreen[str]):
    """Dismissed with the id of the branch that was chosen, or None."""

    CSS = """
    BranchesScreen {
        align: center middle;
        background: $background 60%;
        & > Vertical {
            width: 90%;
            max-width: 100;
            height: auto;
            max-height: 80%;
            background: $surface;
            border: round $primary;
        }
        OptionList { border: none; background: $surface; height: auto; max-height: 100%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", id="branches.close", tooltip="Open none"),
    ]

    def __init__(self, branches: Sequence[Branch], live: str) -> None:
        """The branches of one conversation; `live` is the id of the one that is open now."""
        super().__init__()
        self._branches = branches
        self._live = live

    def compose(self) -> ComposeResult:
        """A line a branch, the live one first chosen."""
        with Vertical() as box:
            box.border_title = "Branches"
            box.border_subtitle = f"enter opens · {self.memscope.key('branches.close')} closes"
            yield OptionList(
                *(
                    Option(
                        Content(
                            f"{'●' if branch.id == self._live else ' '} {branch.entries:>5} entries  "
                            f"{one_line(branch.title) or one_line(branch.id)}"
                        )
                    )
                    for branch in self._branches
                )
            )

    def on_mount(self) -> None:
        """Begin on the branch that is open."""
        ids = [branch.id for branch in self._branches]
        self.query_one(OptionList).highlighted = ids.index(self._live) if self._live in ids else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the chosen one."""
        self.dismiss(self._branches[event.option_index].id)
