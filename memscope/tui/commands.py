"""The command palette: everything that can be done here, and everywhere one can go, found by words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.style import Style

from memscope.tui.safe import cut, fit, one_line

if TYPE_CHECKING:
    from memscope.tui.app import MemscopeApp

Choice = tuple[str, str, Callable[[], None]]
"""A title, what it is for, and what does it."""

_MOST = 20
"""Memories, responses and sessions that are shown, of each at most."""
_TURN = 200
"""Texts that are searched before the screen gets its turn."""
_KEYS = 9
"""Cells for the keys."""
_COLUMN = 12
"""Cells that a title takes at least, so that what follows is mostly aligned."""
_TITLE = 60
"""Cells of a title that came from a conversation."""


@dataclass(frozen=True)
class Entry:
    """A line of the palette; all its texts are printable. It is `listed` before anything is typed."""

    title: str
    help: str
    run: Callable[[], None] | Callable[[], Awaitable[None]]
    keys: str = ""
    listed: bool = True


class Commands(Provider):
    """What works on the screen now; its choices, pictures and themes; sessions; memories and responses."""

    async def startup(self) -> None:
        """Ask the screen once."""
        self._entries = list(self._here())

    async def discover(self) -> Hits:
        """What can be done here."""
        for entry in self._entries:
            if entry.listed:
                yield DiscoveryHit(_line(entry), entry.run, entry.title)

    async def search(self, query: str) -> Hits:
        """Entries with all words of the query, then places with the text of it."""
        words = query.casefold().split()
        for entry in self._entries:
            score = _score(entry, words)
            if score:
                yield Hit(score, _line(entry, words, self.match_style), entry.run, entry.title)
        async for score, entry in self._places(query.casefold().strip()):
            yield Hit(score, _line(entry, words, self.match_style), entry.run, entry.title)

    @property
    def _memscope(self) -> MemscopeApp:
        return cast("MemscopeApp", self.app)

    def _here(self) -> Iterator[Entry]:
        app = self._memscope
        commands = [each for each in app.commands(self.screen) if each.works]
        # What moves the cursor comes last: everybody does that with keys.
        for each in sorted(commands, key=lambda one: not one.binding.show):
            if each.binding.action != "command_palette":
                yield Entry(each.binding.description, each.binding.tooltip, each.run, " ".join(each.keys))
        choices: Iterable[Choice] = getattr(self.screen, "choices", tuple)()
        for title, help_, run in choices:
            yield Entry(one_line(title), one_line(help_), run)
        yield Entry("Theme", "Choose other colours", app.action_change_theme)
        yield Entry("Picture", "Save the screen as SVG", app.ask_for_picture)
        for name in sorted(app.available_themes):
            yield Entry(f"Theme {name}", "", partial(setattr, app, "theme", name), listed=False)
        for row in app.recent_sessions():
            title = cut(one_line(row.listed.title), _TITLE)
            about = " · ".join(filter(None, map(one_line, (row.listed.agent, row.project))))
            open_it = partial(app.open_file, row.listed.path, row.listed.branch or None)
            yield Entry(f"Open {title}", about, open_it, listed=False)

    async def _places(self, text: str) -> AsyncIterator[tuple[float, Entry]]:
        """Memories by key, responses by number, then both by what they say; at most `_MOST` of each."""
        app = self._memscope
        if not app.is_open or not text:
            return
        view = app.opened.view
        conversation, matrix = view.conversation, view.matrix
        if not all(matrix.shape):
            return
        number = text.removeprefix("r")
        if number.isdecimal() and 0 < int(number[:9]) <= matrix.shape[1]:
            yield 1.0, self._response(int(number) - 1)
        by_key = [at for at, key in enumerate(matrix.keys) if text in key.casefold()]
        for at in by_key[:_MOST]:
            yield 0.5, self._memory(at)
        found = min(len(by_key), _MOST)
        for at, memory in enumerate(conversation.memories):
            if found == _MOST:
                break
            if not at % _TURN:
                await asyncio.sleep(0)
            if at not in by_key and text in conversation.memory_text(memory).casefold():
                found += 1
                yield 0.4, self._memory(at)
        found = 0
        for response, entry in enumerate(matrix.responses):
            if found == _MOST:
                break
            if not response % _TURN:
                await asyncio.sleep(0)
            if text in conversation.entries[entry].said.casefold():
                found += 1
                yield 0.3, self._response(response)

    def _memory(self, memory: int) -> Entry:
        view = self._memscope.opened.view
        key = cut(one_line(view.matrix.keys[memory]), _TITLE)
        text = one_line(view.conversation.memory_text(view.conversation.memories[memory])[:200])
        response = self._memscope.opened.cell[1]
        return Entry(key, text, partial(self._memscope.show_cell, memory, response), "memory")

    def _response(self, response: int) -> Entry:
        view = self._memscope.opened.view
        said = view.conversation.entries[view.matrix.responses[response]].said
        memory = self._memscope.opened.cell[0]
        go = partial(self._memscope.show_cell, memory, response)
        return Entry(f"r{response + 1}", one_line(said[:200]), go, "response")


def _score(entry: Entry, words: list[str]) -> float:
    """From 0 to 1: best where the title begins with what was typed."""
    title, text = entry.title.casefold(), f"{entry.title} {entry.help}".casefold()
    if not all(word in text for word in words):
        return 0.0
    if title.startswith(" ".join(words)):
        return 1.0 if entry.listed else 0.75
    return 0.9 if all(word in title for word in words) else 0.8


def _line(entry: Entry, words: Iterable[str] = (), found: Style | None = None) -> Content:
    """Keys, title and help on one line; the words in it that were looked for stand out."""
    keys = fit(entry.keys, _KEYS) if entry.keys else " " * _KEYS
    title = entry.title + " " * (_COLUMN - cell_len(entry.title))
    text = Content.assemble((keys, "not bold"), " ", title, (f"  {entry.help}", "not bold dim"))
    plain = text.plain.casefold()
    # Where folding changes lengths, offsets would be those of another text.
    if found is not None and len(plain) == len(text.plain):
        for word in words:
            at = plain.find(word, _KEYS)
            if at >= 0:
                text = text.stylize(found, at, at + len(word))
    return text
