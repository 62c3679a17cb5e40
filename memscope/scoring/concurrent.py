"""Several streams as one: so many at a time, each item as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import TypeVar

T = TypeVar("T")


async def merge(streams: Iterator[AsyncGenerator[T]], at_once: int) -> AsyncGenerator[T]:
    """The items of all streams, `at_once` (> 0) of them running, begun in their order.

    A stream waits until its item is taken. The first exception of a stream ends the others and is raised;
    closing the iterator or cancelling the task ends them all before it returns.
    """
    news: asyncio.Queue[tuple[T] | Exception | None] = asyncio.Queue(maxsize=1)

    async def work() -> None:
        for stream in streams:
            async with aclosing(stream):
                async for item in stream:
                    await news.put((item,))

    async def work_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(work())
        except* Exception as errors:
            await news.put(errors.exceptions[0])
        else:
            await news.put(None)

    workers = asyncio.create_task(work_all())
    try:
        while (new := await news.get()) is not None:
            if isinstance(new, Exception):
                raise new
            yield new[0]
    finally:
        workers.cancel()
        with suppress(asyncio.CancelledError):
            await workers
