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
    """Has `send` answer questions, several at once, with never more than `at_once` of them under way.

    What waits when there is room goes out together, up to `together` in one call, so that nothing waits for
    company. A call that fails with more than one question in it is made again for each alone, so that one
    bad question fails alone; not where the answer was to wait.
    """

    send: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]
    at_once: int
    together: int
    _waiting: deque[_Waiting[Q, A]] = field(default_factory=deque)
    _under_way: int = 0
    _starting: bool = False

    async def ask(self, question: Q) -> A:
        """The answer to one question. Raises ScorerError; cancelling it cancels the call if nobody else waits
        for that one."""
        waiting: _Waiting[Q, A] = _Waiting(question, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start()
        return await waiting.answer

    def _start_soon(self) -> None:
        """Let other calls that end in this moment do so first: then there is room for more together."""
        if not self._starting:
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        """Send what waits, as far as there is room."""
        self._starting = False
        while self._waiting and self._under_way < self.at_once:
            most = min(self.together, self.at_once - self._under_way)
            batch = [self._waiting.popleft()]
            while self._waiting and len(batch) < most and not (batch[0].alone or self._waiting[0].alone):
                batch.append(self._waiting.popleft())
            batch = [each for each in batch if not each.answer.done()]
            if batch:
                self._under_way += len(batch)
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
            self._under_way -= len(batch)
            self._start_soon()


def _leave(call: asyncio.Task[None], batch: Sequence[_Waiting[Q, A]], _: asyncio.Future[A]) -> None:
    """Cancel a call that nobody waits for any more."""
    if all(each.answer.cancelled() for each in batch):
        call.cancel()
