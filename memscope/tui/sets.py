"""Several memories left out together: one row a set, scored beside the session's matrix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.message import Message
from textual.worker import Worker

from memscope.conversation.model import Conversation
from memscope.errors import MemscopeError
from memscope.scoring.matrix import ALL_MEMORIES, CellState, ScoreMatrix
from memscope.tui.view import Members
from memscope.tui.workers import BATCH

if TYPE_CHECKING:
    from memscope.scoring.run import Run
    from memscope.scoring.session import Session

EVERY: Members = ()
"""All memories there are: a set that grows with the conversation."""


@dataclass
class SetChanged(Message):
    """Cells of a set's row have changed, or the row is another one."""

    sets: Sets
    members: Members


@dataclass
class SetEnded(Message):
    """A set is no longer being worked on: complete, stopped, or failed as `problem` says for the user."""

    sets: Sets
    members: Members
    problem: str = ""


@dataclass
class _Row:
    """A set's row for the conversation as it is; the run that fills it may be over an earlier one."""

    matrix: ScoreMatrix
    planned: Conversation | None = None
    run: Run | None = None
    work: Worker[None] | None = None
    wanted: bool = False
    """Whether it is being scored, or waits for that."""
    fresh: bool = False
    tokens_missing: int | None = None


class Sets:
    """Scores sets of memories without the screen waiting, and tells the app what has come of it.

    As the conversation grows a row keeps what it had up to where old and new part; once that is planned, it
    is filled in anew from the store, at no cost. What it then lacks is pending until it is scored again.
    """

    def __init__(self, app: App[Any], session: Session, plan: Callable[[], None]) -> None:
        """`plan` has the conversation planned as it is; `go_on` or `give_up` is to follow."""
        self._app = app
        self._session = session
        self._plan = plan
        self._rows: dict[Members, _Row] = {}
        self._changed: set[Members] = set()

    @property
    def scoring(self) -> bool:
        """Whether any set is being scored, or waits for that."""
        return any(row.wanted for row in self._rows.values())

    def is_scoring(self, members: Members) -> bool:
        """Whether this set is being scored, or waits for that."""
        row = self._rows.get(members)
        return row is not None and row.wanted

    def matrix_of(self, members: Members) -> ScoreMatrix | None:
        """A set's row as a matrix [1, R] over the conversation's responses; None if nobody asked for it."""
        row = self._rows.get(members)
        return None if row is None else row.matrix

    def tokens_missing(self, members: Members) -> int | None:
        """Tokens that scoring what a set lacks would compute, as counted when work on it last ended; None
        before its first end."""
        row = self._rows.get(members)
        return None if row is None else row.tokens_missing

    def recall(self, members: Members) -> None:
        """Fill in what the store knows of the responses without these memories, now or once planned."""
        if members not in self._rows:
            self._rows[members] = _Row(self._unscored(members))
            self._begin(members)

    def score(self, members: Members, *, fresh: bool = False) -> None:
        """Score what is missing of the responses without these memories, or everything again, once
        the session is planned; a set that is being scored goes on."""
        row = self._rows.setdefault(members, _Row(self._unscored(members)))
        if not row.wanted:
            row.wanted, row.fresh = True, fresh
            self.go_on()

    def forget(self, members: Members) -> None:
        """Stop scoring a set and let go of its row."""
        row = self._rows.pop(members, None)
        if row is not None and row.work is not None:
            row.work.cancel()

    def stop(self) -> None:
        """Stop all of it; what is done stays."""
        for members, row in self._rows.items():
            work, row.work, wanted, row.wanted = row.work, None, row.wanted, False
            if work is not None:
                work.cancel()
            if wanted:
                # At once, for those that wait; those that work say it again when they have ended.
                self._app.post_message(SetEnded(self, members))

    def go_on(self) -> None:
        """Do what is to be done once the session is planned, or have it planned."""
        for members in tuple(self._rows):
            self._begin(members)
        if self.scoring and not self._session.is_planned:
            self._plan()

    def give_up(self) -> None:
        """The session could not be planned: nothing waits for that any more."""
        for row in self._rows.values():
            row.wanted = row.wanted and row.work is not None

    def adopt(self, before: Conversation) -> None:
        """The conversation was `before` and has become another one: keep what is the same in both."""
        memories, responses = before.in_common(self._session.conversation)
        for members, row in tuple(self._rows.items()):
            if any(member >= memories for member in members):
                self.forget(members)
                continue
            matrix = self._unscored(members)
            matrix.take_over(row.matrix, (0,), responses)
            row.matrix = matrix

    def _begin(self, members: Members) -> None:
        """Work on a set if the session is planned and there is anything new to do."""
        row, session = self._rows[members], self._session
        new = row.wanted or row.planned is not session.conversation
        if session.is_planned and row.work is None and new:
            row.work = self._app.run_worker(
                partial(self._fill, members, row), group="sets", exit_on_error=False
            )

    async def _fill(self, members: Members, row: _Row) -> None:
        """Recall a set's row, and score what is missing if that is wanted."""
        this, problem = row.work, ""
        if not self._session.is_planned:  # it has grown since this began
            row.work = None
            return
        try:
            await self._recall(members, row)
            if row.wanted and row.work is this:
                await self._score(members, row)
        except MemscopeError as error:
            problem = str(error)
        finally:
            self._flush()
            if row.work is this:
                row.work, row.wanted = None, False
            try:
                if row.run is not None:
                    row.tokens_missing = await asyncio.to_thread(row.run.tokens_missing)
            finally:
                self._app.post_message(SetEnded(self, members, problem))

    async def _recall(self, members: Members, row: _Row) -> None:
        # Taken together, before anything is awaited: the run is over the conversation that is planned now.
        planned = self._session.conversation
        run = await self._session.run_without([self._indexes(members)], [self._name(members)])
        row.run, row.planned = run, planned
        if planned is self._session.conversation:
            row.matrix = run.matrix
        self._take_over(members, row)

    async def _score(self, members: Members, row: _Row) -> None:
        assert row.run is not None
        try:
            async with aclosing(row.run.score(fresh=row.fresh)) as changes:
                async for _ in changes:
                    self._take_over(members, row)
                    # A set whose answers all lie in the store may never suspend by itself.
                    await asyncio.sleep(0)
        finally:
            self._take_over(members, row)

    def _take_over(self, members: Members, row: _Row) -> None:
        """Show what the run has filled in, where the conversation has grown since as far as both are the
        same."""
        assert row.run is not None
        assert row.planned is not None
        if row.matrix is not row.run.matrix:
            _, responses = row.planned.in_common(self._session.conversation)
            row.matrix.take_over(row.run.matrix, (0,), responses)
        if not self._changed:
            self._app.set_timer(BATCH, self._flush)
        self._changed.add(members)

    def _flush(self) -> None:
        changed, self._changed = self._changed, set()
        for members in changed:
            self._app.post_message(SetChanged(self, members))

    def _unscored(self, members: Members) -> ScoreMatrix:
        """A row of which nothing is known: it can have a number wherever one of its memories can."""
        matrix = self._session.matrix
        possible = (matrix.states[list(self._indexes(members))] != CellState.IMPOSSIBLE).any(axis=0)
        return ScoreMatrix(
            [self._name(members)], matrix.responses, possible[None], per_token=matrix.per_token
        )

    def _indexes(self, members: Members) -> Members:
        return tuple(range(len(self._session.conversation.memories))) if members == EVERY else members

    def _name(self, members: Members) -> str:
        memories = self._session.conversation.memories
        return " + ".join(memories[member].key for member in members) or ALL_MEMORIES
