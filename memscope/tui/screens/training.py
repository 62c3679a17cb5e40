"""The Training screen: responses by what they owe to all memories, chosen and written as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from memscope.conversation.model import Conversation
from memscope.scoring.candidates import Candidate, candidates
from memscope.scoring.matrix import CellState, ScoreMatrix
from memscope.tui.candidates_view import LEAST, CandidateOrder, CandidatesView
from memscope.tui.commands import Choice
from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.base import Copied, SessionScreen
from memscope.tui.sets import EVERY
from memscope.tui.theme import Palette
from memscope.tui.training_wording import candidate_sentence, idle, least, offer
from memscope.tui.view import Members
from memscope.tui.widgets.candidate_list import CandidateList
from memscope.tui.widgets.example_text import Example, ExampleText
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.wording import READ_TRAINING, emptiness, response_text
from memscope.wording import counted

_WHY = """What then becomes far less probable the model says because of its memories; trained on it, it \
would say so without. {key} writes such responses as examples, with what was said before them and without \
the memories."""
_MISSING = (CellState.PENDING, CellState.FAILED)


class TrainingScreen(SessionScreen[None]):
    """A list of responses, and the example that each would make."""

    CSS = """
    TrainingScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #chosen { width: auto; color: $success; text-style: bold; }
        #empty { height: 1fr; padding: 1 2; }
        #intro { height: auto; padding: 0 1; margin-bottom: 1; }
        #intro Static { height: auto; }
        #why { color: $foreground 70%; }
        #main { height: 1fr; layout: horizontal; }
        #list { width: 3fr; padding: 0; }
        #preview { width: 2fr; border-left: solid $panel; }
        #example { color: $foreground 60%; }
        #text { height: 1fr; }
    }
    TrainingScreen.-narrow {
        #main { layout: vertical; }
        #list { width: 100%; height: 3fr; }
        #preview { width: 100%; height: 2fr; border-left: none; border-top: solid $panel; }
    }
    TrainingScreen.-short {
        #intro { margin-bottom: 0; }
        #why { display: none; }
        #preview { border: none; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_TRAINING
    IMPORTANT: ClassVar[tuple[str, ...]] = (*SessionScreen.IMPORTANT, "training.choose", "training.write")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose", id="training.choose", tooltip="Choose a response, or no longer"),
        Binding("a", "choose_all", "All", id="training.all", tooltip="Choose all that are above noise"),
        Binding("c", "choose_none", "None", id="training.none", tooltip="Choose none"),
        Binding(
            "w,e",
            "export",
            "Write",
            id="training.write",
            tooltip="Write the chosen, or all above noise, as training examples",
        ),
        Binding(
            "s",
            "next_order",
            "Sort",
            id="training.sort",
            tooltip="Sort by divergence, by divergence a token, or in order",
        ),
        Binding(
            "l",
            "next_filter",
            "Least",
            id="training.least",
            tooltip="Only above noise, above 0.1, 1, 10 nats, or all",
        ),
        Binding("K", "scroll(-1)", "Up", id="training.up", show=False, tooltip="Scroll the example up"),
        Binding("J", "scroll(1)", "Down", id="training.down", show=False, tooltip="Scroll the example down"),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        opened.sets.recall(EVERY)
        self._candidates = CandidatesView()
        self._conversation = self.view.conversation
        self._reading: tuple[Conversation, int] | None = None
        """The example that is shown or being read."""
        self._seen = 0
        """The response of the session's cell when this screen saw it last."""

    def compose(self) -> ComposeResult:
        """A head, what this is for, the list beside the example, one response in words, activities."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line(id="chosen")
        with VerticalScroll(id="empty", can_focus=False):
            yield Static(id="emptiness", markup=False)
        with Vertical(id="intro"):
            yield Static(id="offer", markup=False)
            yield Static(_WHY.format(key=self.memscope.key("training.write")), id="why", markup=False)
        with Container(id="main"):
            more = self.memscope.key("training.least")
            yield CandidateList(self._candidates, self._text_of, self.palette, more, id="list")
            with Vertical(id="preview"):
                yield Line(id="example")
                yield ExampleText(self.palette, id="text")
        yield Line(id="sentence")
        yield self.activity_bar()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what is known already."""
        self.show_conversation(self.palette)
        self.show_state()
        self.show_cell(*self.opened.cell)

    def show_set(self, members: Members) -> None:
        """Take in new numbers."""
        if members == EVERY:
            self._candidates.show(self._found())
            self._show_list()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self._list.palette = self._example.palette = palette
        self._example.rebuild()
        self.show_set(EVERY)

    def show_conversation(self, palette: Palette) -> None:
        """What was chosen stays so as far as the conversation is the same."""
        if self._conversation is not self.view.conversation:
            self._candidates.keep(self._conversation.in_common(self.view.conversation)[1])
            self._conversation = self.view.conversation
        said = emptiness(self.view)
        page = self.query_one("#empty")
        page.display = page.can_focus = bool(said)
        self.query_one("#emptiness", Static).update(Content(said))
        for shown in ("#main", "#sentence"):
            self.query_one(shown).display = not said
        (page if said else self._list).focus()
        self.show_all(palette)

    def show_state(self) -> None:
        """Say what this is, what scoring costs, or what went wrong."""
        self._show_title()
        self.bar.say(self.opened.problem or self._idle())
        self._show_intro()
        self._show_sentence()

    def show_cell(self, memory: int, response: int) -> None:
        """Go to its response, if it is another one than when this screen was left."""
        if response != self._seen:
            self._seen = response
            self._list.move_to(response)

    def on_row_list_moved(self) -> None:
        """The sentence and the example follow the cursor."""
        self._follow()

    def on_row_list_chosen(self) -> None:
        """Show the response under the cursor in the matrix."""
        if (item := self._list.item) is not None:
            self.memscope.show_cell(self.opened.cell[0], item.response)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound: without memories or responses there is no list."""
        if not self._is_listed and f"action_{action}" in TrainingScreen.__dict__:
            return False
        match action:
            case "score":
                return not self.opened.sets.is_scoring(EVERY) and self._count(*_MISSING) > 0
            case "score_again":
                return self.opened.work.ready and (self._row.states != CellState.IMPOSSIBLE).any()
            case "export" | "choose_all":
                return bool(self._candidates.to_write)
            case "choose":
                return bool(self._candidates.shown)
            case "choose_none":
                return bool(self._candidates.chosen)
        return super().check_action(action, parameters)

    def choices(self) -> Iterable[Choice]:
        """Every order and filter by its name."""
        yield from super().choices()
        if not self._is_listed:
            return
        for order in CandidateOrder:
            change = partial(self._candidates.set_order, order)
            yield f"Sort {order}", "Order responses", partial(self._arrange, change)
        for above in LEAST:
            which = partial(self._candidates.set_filter, above)
            yield f"Show responses: {least(above)}", "Filter responses", partial(self._arrange, which)

    @property
    def can_copy(self) -> bool:
        """Whether there is a response under the cursor."""
        return self.is_composed and self._is_listed and self._list.item is not None

    def copied(self) -> Copied | None:
        """The line that would be written of the response under the cursor."""
        item = self._list.item
        if item is None:
            return None
        # Only here, because the first paint does not need it.
        from memscope.training import to_examples

        conversation, entry = self.view.conversation, item.entry
        return f"the example of r{item.response + 1}", lambda: to_examples(conversation, [entry]).decode()

    def action_score(self) -> None:
        """Score what is missing without any memory, once the model is open."""
        self.opened.sets.score(EVERY)
        self.memscope.show_state()

    def action_score_again(self) -> None:
        """Score everything without any memory again."""
        self.opened.sets.score(EVERY, fresh=True)
        self.memscope.show_state()

    def action_choose(self) -> None:
        """Choose the response, or no longer, and go on to the next."""
        if self._list.item is not None:
            self._candidates.toggle(self._list.item.response)
            self._list.action_move(1)
            self._show_list()

    def action_choose_all(self) -> None:
        """Choose what is above noise, and above the filter's nats."""
        self._arrange(self._candidates.choose_all)

    def action_choose_none(self) -> None:
        """Choose none."""
        self._arrange(self._candidates.chosen.clear)

    def action_next_order(self) -> None:
        """Sort otherwise."""
        self._arrange(self._candidates.next_order)

    def action_next_filter(self) -> None:
        """Show only what has more nats, or all again."""
        self._arrange(self._candidates.next_filter)

    def action_scroll(self, down: int) -> None:
        """Scroll the example by half of what is in sight."""
        self._example.scroll_relative(y=down * max(1, self._example.size.height // 2), animate=False)

    def action_export(self) -> None:
        """Ask where to write the training examples."""
        entries = [candidate.entry for candidate in self._candidates.to_write]
        what = "the chosen" if self._candidates.chosen else f"all {self._worth}"
        count = counted(len(entries), "training example")

        def write(path: Path) -> Callable[[], None]:
            # Only here, because the first paint does not need it.
            from memscope.export import export_training

            return partial(export_training, self.opened.session, entries, path)

        self.ask_where_to_write(
            f"Write {count}",
            f"JSONL, without the memories: {what}.",
            f"{self.file_name or 'examples'}.training.jsonl",
            write,
            count,
        )

    @property
    def _is_listed(self) -> bool:
        """Whether there is anything that could be scored, and so a list."""
        return all(self.view.matrix.shape)

    @property
    def _list(self) -> CandidateList:
        return self.query_one(CandidateList)

    @property
    def _example(self) -> ExampleText:
        return self.query_one(ExampleText)

    @property
    def _row(self) -> ScoreMatrix:
        """Every response without any memory."""
        row = self.opened.sets.matrix_of(EVERY)
        assert row is not None
        return row

    @property
    def _score_key(self) -> str:
        return self.memscope.key("session.score")

    @property
    def _worth(self) -> str:
        """What `a` chooses."""
        return least(self._candidates.above or 0.0)

    def _count(self, *states: CellState) -> int:
        return sum(self._row.count(state) for state in states)

    def _found(self) -> Sequence[Candidate]:
        row = self._row
        return candidates(row, self.view.metric, range(row.shape[1]))

    def _text_of(self, entry: int) -> str:
        return response_text(self.view.conversation.entries[entry])

    def _arrange(self, change: Callable[[], None]) -> None:
        """Change what is listed or chosen, and draw that."""
        change()
        self._show_list()

    def _show_list(self) -> None:
        self._list.show()
        self._show_title()
        self._show_intro()
        self._follow()
        self.refresh_bindings()

    def _follow(self) -> None:
        """Show what is under the cursor; once that was put there, it is the session's too."""
        item = self._list.item
        if item is not None and self._list.is_placed:
            self._seen = item.response
            self.opened.cell = self.opened.cell[0], item.response
        self._show_sentence()
        self._read_example()

    def _show_title(self) -> None:
        shown, count = len(self._candidates.shown), len(self._candidates.all)
        parts = [
            one_line(self.opened.session.conversation.source.title),
            f"{count:,} responses" if shown == count else f"{shown:,} of {count:,} responses",
            self._candidates.order.value,
            self._worth if self._candidates.above is not None else "",
            self.view.metric.value,
            one_line(self.opened.session.scorer_label),
        ]
        self.line("title").say(
            Content.assemble(("Training", "bold $primary"), "  ", " · ".join(filter(None, parts)))
        )
        chosen = len(self._candidates.chosen)
        self.line("chosen").say(f"{chosen:,} chosen" if chosen else "")

    def _show_intro(self) -> None:
        intro = self.query_one("#intro")
        nothing = not self._count(CellState.SCORED, CellState.RUNNING, CellState.FAILED)
        waiting = nothing and not self.opened.sets.is_scoring(EVERY)
        intro.display = waiting and self._is_listed
        if intro.display:
            cost = self.opened.sets.tokens_missing(EVERY)
            said = offer(self._score_key, self._count(CellState.PENDING), self.view.matrix.shape[0], cost)
            self.query_one("#offer", Static).update(Content(said))

    def _idle(self) -> str:
        opened = self.opened
        if not opened.work.ready or not self._candidates.all:
            return opened.idle
        return idle(self._score_key, self._count(*_MISSING), opened.sets.tokens_missing(EVERY))

    def _show_sentence(self) -> None:
        item, waits = self._list.item, self.opened.sets.is_scoring(EVERY)
        said = "" if item is None else candidate_sentence(item, self.view.metric, waits=waits)
        self.line("sentence").say(said)

    def _read_example(self) -> None:
        """Show the example under the cursor once that rests."""
        item, conversation = self._list.item, self.view.conversation
        wanted = None if item is None else (conversation, item.response)
        if wanted == self._reading:
            return
        self._reading = wanted
        line, text = self.line("example"), self._example
        if item is None:
            line.say("")
            text.show_example(None)
            return

        def show(example: Example) -> None:
            if wanted is self._reading:
                messages = counted(example.messages, "message")
                line.say(f"r{example.response + 1} as written · {messages} · {example.size:,} bytes")
                text.show_example(example)

        self.opened.work.read(partial(Example, conversation, item.response), show)
