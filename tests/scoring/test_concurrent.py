"""Several streams as one: in order of their beginning, not too many at once, none ahead of its reader."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.scoring.concurrent import merge

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    async def in_time() -> T:
        return await asyncio.wait_for(work, 10)

    return asyncio.run(in_time())


class Streams:
    """Streams of so many items each, that note what becomes of them. Item (s, i) is the i-th of stream s."""

    def __init__(self, *lengths: int, fails: int | None = None, pauses: int = 0) -> None:
        """The stream `fails` raises after its items; each item comes after so many `pauses`."""
        self.lengths = lengths
        self.fails = fails
        self.pauses = pauses
        self.begun: list[int] = []
        self.made: list[tuple[int, int]] = []
        self.ended: list[int] = []
        self.peak = 0

    async def one(self, number: int) -> AsyncGenerator[tuple[int, int]]:
        self.begun.append(number)
        self.peak = max(self.peak, len(self.begun) - len(self.ended))
        try:
            for item in range(self.lengths[number]):
                for _ in range(self.pauses):
                    await asyncio.sleep(0)
                self.made.append((number, item))
                yield number, item
            if number == self.fails:
                raise RuntimeError(f"stream {number}")
        finally:
            self.ended.append(number)

    def merged(self, at_once: int) -> AsyncGenerator[tuple[int, int]]:
        return merge((self.one(number) for number in range(len(self.lengths))), at_once)


@given(lengths=st.lists(st.integers(0, 4), max_size=8), at_once=st.integers(1, 10), pauses=st.integers(0, 3))
def test_every_item_comes_once_and_each_streams_in_order(
    lengths: list[int], at_once: int, pauses: int
) -> None:
    streams = Streams(*lengths, pauses=pauses)

    async def read() -> list[tuple[int, int]]:
        return [item async for item in streams.merged(at_once)]

    items = run(read())
    assert sorted(items) == [
        (number, item) for number, length in enumerate(lengths) for item in range(length)
    ]
    for number, length in enumerate(lengths):
        assert [item for stream, item in items if stream == number] == list(range(length))
    assert streams.begun == list(range(len(lengths)))
    assert sorted(streams.ended) == streams.begun
    assert streams.peak <= at_once


@pytest.mark.parametrize("at_once", [1, 3, 9])
def test_as_many_streams_run_as_was_said(at_once: int) -> None:
    streams = Streams(*[5] * 6, pauses=2)

    async def read() -> None:
        async for _ in streams.merged(at_once):
            pass

    run(read())
    assert streams.peak == min(at_once, 6)


@given(taken=st.integers(1, 10), at_once=st.integers(1, 4))
def test_no_stream_runs_ahead_of_the_reader(taken: int, at_once: int) -> None:
    streams = Streams(*[5] * 8)

    async def read() -> None:
        async with aclosing(streams.merged(at_once)) as items:
            for _ in range(taken):
                await anext(items)
                for _ in range(50):
                    await asyncio.sleep(0)
                # one item each that waits, and one that stands ready
                assert len(streams.made) <= taken + at_once + 1

    run(read())


@given(taken=st.integers(1, 6), at_once=st.integers(1, 4))
def test_closing_ends_all_streams_before_it_returns(taken: int, at_once: int) -> None:
    streams = Streams(*[3] * 4)

    async def read() -> None:
        async with aclosing(streams.merged(at_once)) as items:
            for _ in range(taken):
                await anext(items)
        assert sorted(streams.ended) == sorted(streams.begun)

    run(read())


def test_cancelling_ends_all_streams_before_it_returns() -> None:
    streams = Streams(*[10**6] * 4)

    async def read() -> None:
        async with aclosing(streams.merged(3)) as items:
            async for _ in items:
                await asyncio.sleep(0)

    async def cancelled() -> None:
        reading = asyncio.create_task(read())
        while len(streams.made) < 10:
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert sorted(streams.ended) == sorted(streams.begun) == [0, 1, 2]

    run(cancelled())


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_exception_of_one_stream_ends_the_others_and_is_raised(at_once: int) -> None:
    streams = Streams(1, 1, 10**6, 10**6, fails=1)

    async def read() -> None:
        async with aclosing(streams.merged(at_once)) as items:
            with pytest.raises(RuntimeError, match="stream 1"):
                async for _ in items:
                    pass
        assert sorted(streams.ended) == sorted(streams.begun)

    run(read())


def test_what_came_before_an_exception_is_not_lost() -> None:
    streams = Streams(3, fails=0)

    items = []

    async def read() -> None:
        async for item in streams.merged(2):
            items.append(item)

    with pytest.raises(RuntimeError, match="stream 0"):
        run(read())
    assert items == [(0, 0), (0, 1), (0, 2)]


def test_nothing_begins_before_it_is_asked_for() -> None:
    streams = Streams(1, 1)

    async def close() -> None:
        items = streams.merged(2)
        await asyncio.sleep(0)
        await items.aclose()

    run(close())
    assert streams.begun == []
