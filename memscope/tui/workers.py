"""The only bridge between the screens and the session: its work as Textual workers, its news as messages."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from textual.app import App
from textual.message import Message
from textual.worker import Worker

from memscope.errors import MemscopeError
from memscope.scoring.matrix import ScoreMatrix

if TYPE_CHECKING:
    from memscope.scoring.session import Session, TokenView

Choice = Callable[[ScoreMatrix], NDArray[np.bool_]]
"""Chooses cells [M, R] of a matrix, which is known only once the work begins."""
T = TypeVar("T")

_PAUSE = 0.05
"""Seconds of quiet before a thread reads what the cursor rests on."""
BATCH = 0.08
"""Seconds over which changed rows are gathered before the screen hears of them."""


@dataclass
class Prepared(Message):
    """The session is ready to score."""

    work: "SessionWorkers"


@dataclass
class RowsChanged(Message):
    """Cells of these memories have changed."""

    work: "SessionWorkers"
    rows: frozenset[int]


@dataclass
class ScoringEnded(Message):
    """Nothing is being scored any more: complete, stopped or failed."""

    work: "SessionWorkers"


@dataclass
class Failed(Message):
    """Preparing or scoring went wrong; `sentence` says how, for the user."""

    work: "SessionWorkers"
    sentence: str


class SessionWorkers:
    """Prepares, scores and exports without the screen waiting for it."""

    def __init__(self, app: App[Any], session: "Session") -> None:
        self._app = app
        self._session = session
        self._work: Worker[None] | None = None
        self._rows: set[int] = set()
        self.tokens_missing = 0
        """Tokens that scoring what is missing would compute, as counted when work last ended."""
        self.ready = False
        """Whether the session has been prepared."""
        self.scoring = False
        """Whether a score is running."""

    @property
    def begun(self) -> bool:
        """Whether anything has ever been prepared."""
        return self._work is not None

    @property
    def busy(self) -> bool:
        """Whether anything is being prepared or scored."""
        return self._work is not None and not self._work.is_finished

    def prepare(self) -> None:
        """Open the model and lay the plan; ends in `Prepared` or `Failed`."""
        self._work = self._start(self._prepare, "session")

    def score(self, *, fresh: bool = False, only: Choice | None = None) -> None:
        """Score what is missing, or everything again, of all cells or those that `only` chooses; a score that
        runs is stopped first."""
        self.scoring = True
        self._work = self._start(partial(self._score, fresh, only), "session")

    def stop(self) -> None:
        """Stop scoring; what is done stays."""
        if self.scoring:
            self.close()

    def close(self) -> None:
        """Stop whatever runs."""
        if self._work is not None:
            self._work.cancel()

    def read_tokens(
        self, response: int, memory: int | None, then: Callable[["TokenView | None"], None]
    ) -> None:
        """Fetch a response's token log-probabilities, then call `then`; an earlier request is dropped."""

        async def read() -> None:
            then(await self._session.token_view(response, memory))

        self._start(read, "tokens")

    def read(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do a job in a thread once nothing else has been asked for a moment, then call `then` with what it
        gave; an earlier request is dropped."""

        async def read() -> None:
            await asyncio.sleep(_PAUSE)
            then(await asyncio.to_thread(job))

        self._start(read, "reading")

    def write(self, job: Callable[[], Callable[[], None]], then: Callable[[str | None], None]) -> None:
        """Make what writes a file and let a thread do that, then call `then` with None or a sentence about
        what went wrong."""

        async def write() -> None:
            problem = None
            try:
                await asyncio.to_thread(job())
            except (MemscopeError, OSError) as error:
                problem = str(error)
            then(problem)

        self._start(write, "export")

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]], group: str) -> Worker[None]:
        return self._app.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    async def _prepare(self) -> None:
        try:
            await self._session.prepare()
        except MemscopeError as error:
            self._app.post_message(Failed(self, str(error)))
        else:
            self.ready = True
            await self._count()
            self._app.post_message(Prepared(self))

    async def _score(self, fresh: bool, only: Choice | None) -> None:
        this, session = self._work, self._session
        try:
            if not session.is_planned:
                await session.prepare()
            cells = None if only is None else only(session.matrix)
            async with aclosing(session.score(fresh=fresh, only=cells)) as changes:
                async for change in changes:
                    if not self._rows:
                        self._app.set_timer(BATCH, self._flush)
                    self._rows.update(change.rows)
                    # A session whose answers all lie in the store may never suspend by itself.
                    await asyncio.sleep(0)
        except MemscopeError as error:
            self._app.post_message(Failed(self, str(error)))
        finally:
            self._flush()
            if self._work is this:
                # Before anything is awaited: stopping twice cancels what is awaited here.
                self.scoring = False
                try:
                    if fresh:  # and stopped, perhaps: what it did not come to is as it was
                        self._rows.update(await session.recall())
                        self._flush()
                    await self._count()
                finally:
                    self._app.post_message(ScoringEnded(self))

    async def _count(self) -> None:
        missing = await asyncio.to_thread(self._session.tokens_missing)
        self.tokens_missing = missing or 0

    def _flush(self) -> None:
        if self._rows:
            rows, self._rows = frozenset(self._rows), set()
            self._app.post_message(RowsChanged(self, rows))
