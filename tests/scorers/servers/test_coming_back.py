"""Servers that ask to wait, go away, come back, or come back as another model; runs that are stopped."""

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import stamina

from memscope.scorers.servers import client as client_module
from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from tests.scorers.servers.running import (
    BASIC,
    DIET,
    HOME,
    SGLANG,
    TALKED,
    VLLM,
    Outcome,
    Protocol,
    assert_same,
    first,
    named,
    opened,
    outcome,
    prompts,
    run,
    score,
    scores_row,
)
from tests.scoring.talks import turns
from tests.servers import faults
from tests.servers.exchange import Effect, Exchange, Request
from tests.servers.model import ModelServer
from tests.servers.oracle import Oracle
from tests.servers.sglang import SglangServer

MANY = turns("a", "b", "c", "d", "e", "f")
"""Six memories."""


class TestRetryAfter:
    @pytest.fixture(autouse=True)
    def _waiting(self) -> None:
        stamina.set_testing(False)

    def test_a_request_waits_as_long_as_the_server_asks(self, oracle: Oracle, embedded: Outcome) -> None:
        with VLLM.server(oracle) as server:
            found = self.refused_once(server, faults.too_many(0.3))
        assert_same(found, embedded)
        refused, again = self.asked_for(server, found)
        assert 0.3 <= again.at - refused.at < 0.6

    def test_it_may_be_a_date(self, oracle: Oracle, embedded: Outcome) -> None:
        with VLLM.server(oracle) as server:
            found = self.refused_once(server, faults.too_many(1.5, date=True))
        assert_same(found, embedded)
        refused, again = self.asked_for(server, found)
        assert 0.4 <= again.at - refused.at < 1.8  # a date has no fractions

    def test_the_waits_of_several_rows_do_not_add_up(self, oracle: Oracle) -> None:
        seconds = 0.4
        with VLLM.server(oracle) as server:

            async def work(session: Session) -> Outcome:
                ends: list[float] = []

                def busy(request: Request) -> bool:
                    if not request.scoring or scores_row(session, None)(request):
                        return False
                    ends.append(ends[0] if ends else request.at + seconds)
                    return request.at < ends[0]

                server.on(busy, faults.too_many(seconds))
                return await score(session)

            began = time.monotonic()
            found = opened(MANY, VLLM.choice(server, concurrency=6), work)
            took = time.monotonic() - began
        assert found.matrix.count(CellState.FAILED) == 0
        assert took < 3 * seconds
        refused = [request for request in server.scored if request.status == 429]
        for request in refused:
            for prompt in prompts(request):
                again = [
                    each.at for each in server.scored if each.at > request.at and prompt in prompts(each)
                ]
                assert min(again) - request.at >= seconds

    def refused_once(self, server: ModelServer, effect: Effect) -> Outcome:
        async def work(session: Session) -> Outcome:
            server.on(first(scores_row(session, DIET)), effect)
            return await score(session)

        return opened(TALKED, VLLM.choice(server, concurrency=1), work)

    def asked_for(self, server: ModelServer, found: Outcome) -> list[Request]:
        return list(filter(scores_row(found.session, DIET), server.requests))


def test_a_server_may_restart_in_the_middle_of_a_run(oracle: Oracle, embedded: Outcome) -> None:
    stamina.set_testing(False)
    with VLLM.server(oracle) as server:
        found = opened(TALKED, VLLM.choice(server), lambda session: restarting(server, session))
    assert_same(found, embedded)


async def restarting(server: ModelServer, session: Session) -> Outcome:
    """A run in which the server ends with the request for a row, and comes back a little later."""

    def restart(exchange: Exchange) -> None:
        threading.Thread(target=server.restart).start()
        exchange.wait()

    server.on(first(scores_row(session, DIET)), restart)
    return await score(session)


def test_a_server_that_is_gone_for_good_is_not_waited_for_by_every_row(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_PATIENCE", 0.0)
    with VLLM.server(oracle) as server:

        async def work(session: Session) -> tuple[Outcome, int]:
            session.prepared_run().requests = 0
            server.on(lambda request: not scores_row(session, None)(request), lambda it: it.reset())
            found = await score(session)
            return found, found.run.requests

        found, tries = opened(MANY, VLLM.choice(server, concurrency=1), work)
    rows = len(MANY.memories)
    assert set(found.matrix.errors) == set(range(rows))
    assert tries <= 3 + rows + 1


class TestAnotherModel:
    CHANGES: tuple[tuple[Protocol, Callable[[ModelServer], Effect]], ...] = (
        (VLLM, lambda server: faults.answers_as("other")),
        (VLLM, lambda server: faults.becomes(root="/models/other")),
        (VLLM, lambda server: faults.becomes(max_model_len=512)),
        (SGLANG, lambda server: faults.becomes(weight_version="2")),
        (SGLANG, lambda server: faults.becomes(root="/models/other")),
    )

    @pytest.mark.parametrize(("protocol", "change"), CHANGES)
    def test_its_answers_are_refused_and_not_kept(
        self,
        protocol: Protocol,
        change: Callable[[ModelServer], Effect],
        oracle: Oracle,
        other_oracle: Oracle,
    ) -> None:
        with protocol.server(oracle) as server:
            settings = {"root": server.root, "max_model_len": server.max_model_len}
            if isinstance(server, SglangServer):
                settings["weight_version"] = server.weight_version

            async def work(session: Session) -> Outcome:
                def changed(exchange: Exchange) -> None:
                    server.oracle = other_oracle
                    change(server)(exchange)

                server.on(scores_row(session, DIET), changed)
                return await score(session)

            choice = protocol.choice(server, concurrency=1)
            found = opened(TALKED, choice, work)
            assert "model" in found.matrix.errors[DIET]
            known = set(found.logprobs)
            assert {key[0] for key in known} == {None, HOME}

            server.oracle = oracle
            for name, value in settings.items():
                setattr(server, name, value)
            again = opened(TALKED, choice, outcome)
        assert set(again.logprobs) == known
        for key in known:
            assert np.array_equal(again.logprobs[key], found.logprobs[key])

    def test_it_is_asked_for_everything_when_it_is_opened(
        self, oracle: Oracle, other_oracle: Oracle, embedded: Outcome
    ) -> None:
        with VLLM.server(oracle) as server:
            choice = VLLM.choice(server)
            run(TALKED, choice)
            server.oracle = other_oracle  # nothing tells but its log-probabilities
            assert opened(TALKED, choice, outcome).logprobs == {}
            run(TALKED, choice)
            server.oracle = oracle
            assert_same(opened(TALKED, choice, outcome), embedded)


@pytest.mark.parametrize("protocol", BASIC, ids=named)
def test_a_run_that_is_cancelled_leaves_the_server_at_once(protocol: Protocol, oracle: Oracle) -> None:
    hang = faults.Hang()
    with protocol.server(oracle) as server:

        async def work(session: Session) -> None:
            server.on(lambda request: bool(request.scoring) and not scores_row(session, None)(request), hang)
            running = asyncio.create_task(score(session))
            assert await asyncio.to_thread(hang.waiting.wait, 5)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await asyncio.to_thread(server.wait_for, lambda: server.in_flight == 0)
            assert server.left
            assert session.matrix.count(CellState.RUNNING) == 0
            assert session.matrix.errors == {}

        opened(MANY, protocol.choice(server, concurrency=4), work)


def test_what_was_stored_is_there_after_the_program_was_killed(oracle: Oracle, embedded: Outcome) -> None:
    hang = faults.Hang()
    with VLLM.server(oracle) as server:

        async def killed(session: Session) -> Outcome:
            server.on(first(scores_row(session, DIET)), hang)
            running = asyncio.create_task(score(session))
            assert await asyncio.to_thread(hang.waiting.wait, 5)
            # nothing is closed or told to stop: what another program finds now is what a kill leaves
            next_session = Session(TALKED, choice=VLLM.choice(server))
            await next_session.prepare()
            found = await outcome(next_session)
            await next_session.aclose()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return found

        found = opened(TALKED, VLLM.choice(server, concurrency=1), killed)
    assert {key[0] for key in found.logprobs} == {None, HOME}
    assert found.run.cells_from_cache == 3
