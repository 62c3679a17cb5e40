"""Gathers prompts that wait for a server into requests of several."""

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from memscope.errors import ScorerError

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(eq=False)
class _Waiting(Generic[Q, A]):
    question: Q
    answer: asyncio.Future[A]
    alone: bool = False


@dataclass(eq=False)
class Batches(Generic[Q, A]):
    """Has `send` answer questions, up to `together` in one call and never more than `calls` under way.

    What waits when a call may begin goes out together; nothing waits for company. A call that fails with more
    than one question in it is made again for each alone, so that one bad question fails alone; not where the
    answer was to wait.
    """

    send: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]
    calls: int
    together: int
    _waiting: deque[_Waiting[Q, A]] = field(default_factory=deque)
    _under_way: int = 0
    _starting: bool = False

    async def ask(self, question: Q) -> A:
        """The answer to one question. Raises ScorerError; cancelling it cancels the call if nobody else waits
        for that one."""
        waiting: _Waiting[Q, A] = _Waiting(question, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start_soon()
        return await waiting.answer

    def _start_soon(self) -> None:
        """Let what is asked in this moment, and calls that end in it, come together first."""
        if not self._starting:
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        """Send what waits, as far as there is room."""
        self._starting = False
        self._waiting = deque(each for each in self._waiting if not each.answer.done())
        while self._waiting and self._under_way < self.calls:
            batch = [self._waiting.popleft()]
            while self._waiting and len(batch) < self.together:
                if batch[0].alone or self._waiting[0].alone:
                    break
                batch.append(self._waiting.popleft())
            self._under_way += 1
            leave = functools.partial(_leave, asyncio.create_task(self._call(batch)), batch)
            for each in batch:
                each.answer.add_done_callback(leave)

    async def _call(self, batch: list[_Waiting[Q, A]]) -> None:
        try:
            answers = await self.send([each.question for each in batch])
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)
        except ScorerError as error:
            for each in reversed(batch):
                if len(batch) > 1 and error.retry_after is None:
                    each.alone = True
                    self._waiting.appendleft(each)
                elif not each.answer.done():
                    each.answer.set_exception(error)
        except Exception as error:
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(error)
        finally:
            self._under_way -= 1
            self._start_soon()


def _leave(call: asyncio.Task[None], batch: Sequence[_Waiting[Q, A]], _: asyncio.Future[A]) -> None:
    """Cancel a call that nobody waits for any more."""
    if all(each.answer.cancelled() for each in batch):
        call.cancel()
