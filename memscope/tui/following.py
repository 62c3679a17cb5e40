"""Looks at the followed file on and on, in a thread, and tells the app what the conversation has become."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from textual.app import App
from textual.message import Message
from textual.worker import Worker

from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation

POLL = 0.2
"""Seconds between two looks, at least."""
_SHARE = 2
"""So many times as long as a look took the next one waits, so that a huge file leaves the machine free."""


@dataclass
class Looked(Message):
    """A look has ended: what the conversation has become, None if it is as it was; `changed` says whether
    that or the problem with the file is another than at the look before."""

    following: "Following"
    conversation: Conversation | None
    changed: bool


class Following:
    """One file that is followed; while `paused`, what comes is read and waits."""

    def __init__(self, app: App[Any], follower: Follower) -> None:
        self._app = app
        self._follower = follower
        self._worker: Worker[None] | None = None
        self.paused = False
        self.waiting: Conversation | None = None
        """What came while paused."""

    @property
    def problem(self) -> str:
        """Why the file can't be read just now, one sentence; empty if it can."""
        return self._follower.problem

    def start(self) -> None:
        """Look until stopped."""
        self._worker = self._app.run_worker(
            self._look(), group="following", exclusive=True, exit_on_error=False
        )

    def stop(self) -> None:
        """Look no more."""
        self._follower.stop()
        if self._worker is not None:
            self._worker.cancel()

    async def _look(self) -> None:
        while True:
            began, before = time.monotonic(), self.problem
            found = await asyncio.to_thread(self._follower.look)
            self._app.post_message(Looked(self, found, found is not None or self.problem != before))
            handled = asyncio.Event()  # called after the message: showing it is part of what a look costs
            self._app.call_later(handled.set)
            await handled.wait()
            await asyncio.sleep(max(POLL, _SHARE * (time.monotonic() - began)))
