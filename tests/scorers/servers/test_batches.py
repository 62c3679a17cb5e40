"""Prompts that wait go out together, never too many at once, and one that is bad fails alone."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import ScorerError
from memscope.scorers.base import LogProbs, ScoreRequest
from memscope.scorers.probe import PROBE, chat_request, score_once
from memscope.scorers.servers.batches import Batches
from memscope.scorers.servers.scorer import ServerScorer
from memscope.scoring.session import Session
from tests.scorers.servers.running import (
    BASIC,
    SGLANG,
    TALKED,
    VLLM,
    Outcome,
    Protocol,
    assert_same,
    named,
    opened,
    outcome,
    prompts,
    run,
    scores_row,
)
from tests.scoring.talks import turns
from tests.servers import faults
from tests.servers.model import ModelServer
from tests.servers.oracle import Oracle

T = TypeVar("T")


def finished(work: Coroutine[Any, Any, T]) -> T:
    async def in_time() -> T:
        return await asyncio.wait_for(work, 10)

    return asyncio.run(in_time())


class Calls:
    """Answers n with n + 1, and fails for every call with one of the `bad` in it."""

    def __init__(self, *bad: int, error: Callable[[], Exception] = lambda: ScorerError("no")) -> None:
        self.bad = bad
        self.error = error
        self.made: list[list[int]] = []
        self.under_way = 0
        self.peak = 0
        self.go = asyncio.Event()
        self.cancelled: list[list[int]] = []

    async def send(self, questions: Sequence[int]) -> list[int]:
        self.made.append(list(questions))
        self.under_way += len(questions)
        self.peak = max(self.peak, self.under_way)
        try:
            await self.go.wait()
            if set(self.bad) & set(questions):
                raise self.error()
            return [question + 1 for question in questions]
        except asyncio.CancelledError:
            self.cancelled.append(list(questions))
            raise
        finally:
            self.under_way -= len(questions)


async def asked(batches: Batches[int, int], count: int) -> list[asyncio.Task[int]]:
    """Tasks that wait for the answers to 0, 1, 2, ..."""
    tasks = [asyncio.create_task(batches.ask(number)) for number in range(count)]
    await asyncio.sleep(0.001)
    return tasks


@given(
    count=st.integers(0, 12),
    at_most=st.integers(1, 6),
    together=st.integers(1, 4),
    bad=st.sets(st.integers(0, 11)),
)
def test_everyone_gets_their_own_answer_and_the_bad_fail_alone(
    count: int, at_most: int, together: int, bad: set[int]
) -> None:
    async def work() -> None:
        calls = Calls(*bad)
        batches: Batches[int, int] = Batches(calls.send, at_most, together)
        tasks = await asked(batches, count)
        calls.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for number, answer in enumerate(answers):
            assert isinstance(answer, ScorerError) if number in bad else answer == number + 1
        assert calls.peak <= at_most * together
        assert max(map(len, calls.made), default=0) <= together

    finished(work())


def test_what_waits_goes_out_together_and_nothing_waits_for_company() -> None:
    async def work() -> None:
        calls = Calls()
        batches: Batches[int, int] = Batches(calls.send, calls=2, together=2)
        tasks = await asked(batches, 7)
        assert calls.made == [[0, 1], [2, 3]]
        calls.go.set()
        await asyncio.gather(*tasks)
        assert calls.made == [[0, 1], [2, 3], [4, 5], [6]]

    finished(work())


@pytest.mark.parametrize(
    "error", [lambda: ScorerError("wait", retry_after=1.0), lambda: RuntimeError("a mistake")]
)
def test_a_call_is_not_made_again_where_that_helps_nobody(error: Callable[[], Exception]) -> None:
    async def work() -> None:
        calls = Calls(3, error=error)
        batches: Batches[int, int] = Batches(calls.send, calls=1, together=2)
        tasks = await asked(batches, 4)
        calls.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert calls.made == [[0, 1], [2, 3]]
        assert [type(answer) for answer in answers] == [int, int, type(error()), type(error())]

    finished(work())


def test_one_that_is_cancelled_while_it_waits_is_never_sent() -> None:
    async def work() -> None:
        calls = Calls()
        batches: Batches[int, int] = Batches(calls.send, calls=1, together=1)
        tasks = await asked(batches, 3)
        tasks[1].cancel()
        await asyncio.sleep(0)
        calls.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answers[0], answers[2]] == [1, 3]
        assert calls.made == [[0], [2]]

    finished(work())


def test_a_call_is_cancelled_once_nobody_waits_for_it() -> None:
    async def work() -> None:
        calls = Calls()
        batches: Batches[int, int] = Batches(calls.send, calls=1, together=2)
        tasks = await asked(batches, 4)
        tasks[0].cancel()
        await asyncio.sleep(0.001)
        assert calls.cancelled == [], "1 waits still"
        tasks[1].cancel()
        await asyncio.sleep(0.001)
        assert calls.cancelled == [[0, 1]]
        assert calls.made[1:] == [[2, 3]]
        tasks[2].cancel()
        calls.go.set()
        assert await tasks[3] == 4

    finished(work())


def other_prompts(scorer: ServerScorer, count: int) -> list[ScoreRequest]:
    """Prompts that differ in their question."""
    return [
        chat_request(scorer.tokenizer, [{"role": "user", "content": f"Question {number}?"}, PROBE[-1]])
        for number in range(count)
    ]


async def ask_at_once(scorer: ServerScorer, requests: Sequence[ScoreRequest]) -> list[LogProbs]:
    return await asyncio.gather(*(score_once(scorer, request) for request in requests))


def on_scorer(
    protocol: Protocol, server: ModelServer, work: Callable[[ServerScorer], Awaitable[T]], **choice: Any
) -> T:
    async def with_scorer(session: Session) -> T:
        assert isinstance(session.scorer, ServerScorer)
        return await work(session.scorer)

    return opened(TALKED, protocol.choice(server, **choice), with_scorer)


@pytest.mark.parametrize("protocol", BASIC, ids=named)
def test_a_server_never_gets_more_prompts_at_once_than_was_said(protocol: Protocol, oracle: Oracle) -> None:
    with protocol.server(oracle, delay=0.01) as server:

        async def work(scorer: ServerScorer) -> tuple[list[ScoreRequest], list[LogProbs]]:
            server.peak = 0
            requests = other_prompts(scorer, 10)
            return requests, await ask_at_once(scorer, requests)

        requests, found = on_scorer(protocol, server, work, concurrency=3)
        assert server.peak <= 3
    for request, logprobs in zip(requests, found, strict=True):
        expected = oracle.logprobs(request.ids)[request.spans[0]]
        if protocol in BASIC[:3]:
            assert np.abs(logprobs - expected).max() < 1e-3
        else:
            assert abs(float(logprobs[0]) - float(expected.sum())) < 1e-2


@pytest.mark.parametrize("protocol", [VLLM, SGLANG], ids=named)
def test_one_bad_prompt_of_a_request_fails_alone(protocol: Protocol, oracle: Oracle) -> None:
    with protocol.server(oracle) as server:

        async def work(scorer: ServerScorer) -> list[LogProbs | BaseException]:
            requests = other_prompts(scorer, 2)
            ids = [request.ids.tolist() for request in requests]
            scoring = len(server.scored)
            server.on(lambda request: ids[1] in prompts(request), faults.status(400, "a bad prompt"))
            found = await asyncio.gather(
                *(score_once(scorer, request) for request in requests), return_exceptions=True
            )
            asked = [prompts(request) for request in server.scored[scoring:]]
            assert asked[0] == [ids[0], ids[1]]
            assert sorted(asked[1:]) == sorted([[ids[0]], [ids[1]]])
            return found

        right, wrong = on_scorer(protocol, server, work, concurrency=4)
    assert isinstance(right, np.ndarray)
    assert isinstance(wrong, ScorerError)
    assert "a bad prompt" in str(wrong)


def test_a_whole_run_takes_few_connections(oracle: Oracle, embedded: Outcome) -> None:
    with VLLM.server(oracle) as server:
        assert_same(run(TALKED, VLLM.choice(server, concurrency=2)), embedded)
        assert server.connections <= 3 < len(server.requests) / 4


def test_rows_are_shown_as_they_come(oracle: Oracle) -> None:
    """While one row hangs, the others are filled in."""
    talk = turns("a", "b", "c", "d")
    hang = faults.Hang()
    with VLLM.server(oracle) as server:

        async def work(session: Session) -> Outcome:
            server.on(scores_row(session, 0), hang)
            async for _ in session.score():
                scored = np.isfinite(session.matrix.weights(session.metric)).tolist()
                if scored == [False, True, True, True]:
                    hang.release()
            return await outcome(session)

        assert opened(talk, VLLM.choice(server, concurrency=2), work).matrix.errors == {}
