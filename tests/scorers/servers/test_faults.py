"""A server that fails now and then, or for good: what is right stays, nothing wrong is taken for right."""

import math

import numpy as np
import pytest

from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session
from tests.scorers.servers.running import (
    BASIC,
    DIET,
    HOME,
    SCORE,
    TALKED,
    VLLM,
    Outcome,
    Protocol,
    assert_same,
    first,
    named,
    opened,
    run,
    score,
    scores_row,
)
from tests.servers import faults
from tests.servers.exchange import Effect
from tests.servers.model import ModelServer
from tests.servers.oracle import Oracle

ON_THE_WAY: dict[str, Effect] = {
    "500": faults.status(500),
    "502": faults.status(502),
    "503": faults.status(503),
    "504": faults.status(504),
    "408": faults.status(408),
    "429": faults.status(429),
    "429, at once again": faults.too_many(0),
    "half a body": faults.half_body,
    "closed": faults.closed,
    "reset": faults.reset,
    "no JSON": faults.not_json,
}
IN_THE_ANSWER: dict[str, Effect] = {
    "another shape": faults.wrong_shape(),
    "a list": faults.wrong_shape([1, 2]),
    "NaN": faults.logprob(math.nan),
    "infinity": faults.logprob(math.inf),
    "null": faults.logprob(None),
    "too few": faults.too_few(),
}
OF_A_TOKEN: dict[str, Effect] = {
    "minus infinity": faults.logprob(-math.inf),
    "vLLM's minus infinity": faults.logprob(-9999.0),
    "another token": faults.other_token(),
}
PASSING = [
    *((VLLM, fault) for fault in ON_THE_WAY),
    *((protocol, fault) for protocol in BASIC for fault in IN_THE_ANSWER),
    *((protocol, fault) for protocol in BASIC[:3] for fault in OF_A_TOKEN),
]
"""What may be otherwise next time."""
EFFECTS = ON_THE_WAY | IN_THE_ANSWER | OF_A_TOKEN
REFUSALS: dict[str, tuple[Effect, str]] = {
    "400": (faults.status(400, "no such thing"), " answered 400: no such thing"),
    "404": (faults.status(404, "no such thing"), " answered 404: no such thing"),
    "401": (faults.status(401, "who?"), " answered 401: who?; give its key in MEMSCOPE_API_KEY"),
}
LOGITS = " gave log-probabilities above 0: it must be set to give log-probabilities, not logits"
NONE = " gave no log-probabilities of the prompt"
LASTING = [
    *((VLLM, *refusal) for refusal in REFUSALS.values()),
    *((protocol, faults.logprob(0.5), LOGITS) for protocol in BASIC[:3]),
    *((protocol, faults.without_logprobs(), NONE) for protocol in BASIC[:3]),
    (SCORE, faults.logprob(0.5), " gave a total above 0: it must give sums of log-probabilities"),
]
"""What stays as it is, and what is said of it."""


def with_fault(protocol: Protocol, server: ModelServer, row: int, effect: Effect, times: int) -> Outcome:
    """A run in which the requests for a row fail so many times."""

    async def work(session: Session) -> Outcome:
        server.on(first(scores_row(session, row), times), effect)
        return await score(session)

    return opened(TALKED, protocol.choice(server, concurrency=1), work)


def requests_for(server: ModelServer, outcome: Outcome, row: int | None) -> int:
    return sum(map(scores_row(outcome.session, row), server.requests))


@pytest.mark.parametrize(("protocol", "fault"), PASSING, ids=lambda value: getattr(value, "name", value))
def test_what_fails_once_is_tried_again(
    protocol: Protocol, fault: str, oracle: Oracle, embedded: Outcome
) -> None:
    with protocol.server(oracle) as server:
        found = with_fault(protocol, server, DIET, EFFECTS[fault], times=1)
    assert_same(found, embedded)
    assert requests_for(server, found, DIET) == 2


@pytest.mark.parametrize(
    ("protocol", "fault"), [*PASSING[::3], (SCORE, "500")], ids=lambda value: getattr(value, "name", value)
)
def test_what_fails_each_time_fails_alone(
    protocol: Protocol, fault: str, oracle: Oracle, embedded: Outcome
) -> None:
    with protocol.server(oracle) as server:
        found = with_fault(protocol, server, DIET, EFFECTS[fault], times=9)
    assert_same(found, embedded, without=(DIET,))
    assert requests_for(server, found, DIET) == 3
    assert found.matrix.errors[DIET].startswith(f"127.0.0.1:{server.port} ")


@pytest.mark.parametrize(("protocol", "effect", "reason"), LASTING)
def test_what_will_not_change_is_asked_for_once(
    protocol: Protocol, effect: Effect, reason: str, oracle: Oracle, embedded: Outcome
) -> None:
    with protocol.server(oracle) as server:
        found = with_fault(protocol, server, DIET, effect, times=9)
    assert_same(found, embedded, without=(DIET,))
    assert requests_for(server, found, DIET) == 1
    assert found.matrix.errors[DIET] == f"127.0.0.1:{server.port}{reason}"


@pytest.mark.parametrize("protocol", BASIC, ids=named)
def test_a_second_run_asks_only_for_what_failed(
    protocol: Protocol, oracle: Oracle, embedded: Outcome
) -> None:
    async def twice(session: Session) -> Outcome:
        server.on(first(scores_row(session, DIET), times=3), faults.status(503))
        failed = await score(session)
        assert_same(failed, embedded, without=(DIET,))
        asked = len(server.scored)
        again = await score(session)
        assert [scores_row(session, DIET)(request) for request in server.scored[asked:]] == [True]
        return again

    with protocol.server(oracle) as server:
        assert_same(opened(TALKED, protocol.choice(server, concurrency=1), twice), embedded)


def test_a_failed_baseline_fails_its_rows_with_its_reason(oracle: Oracle) -> None:
    async def work(session: Session) -> Outcome:
        server.on(scores_row(session, None), faults.status(503, "busy"))
        return await score(session)

    with VLLM.server(oracle) as server:
        found = opened(TALKED, VLLM.choice(server), work)
    assert set(found.matrix.errors.values()) == {
        f"the baseline failed: 127.0.0.1:{server.port} answered 503: busy"
    }
    assert not np.isfinite(found.matrix.values(Metric.SIGNED)).any()
    assert np.isnan(found.matrix.baseline).all()


def test_a_hang_ends_at_the_time_out_once_the_server_is_warm(oracle: Oracle, embedded: Outcome) -> None:
    hang = faults.Hang()
    with VLLM.server(oracle) as server:

        async def work(session: Session) -> Outcome:
            server.on(first(scores_row(session, HOME)), hang)
            return await score(session)

        found = opened(TALKED, VLLM.choice(server, concurrency=1, timeout=0.2), work)
        assert server.wait_for(lambda: bool(server.left))
    assert_same(found, embedded)
    assert requests_for(server, found, HOME) == 2


def test_a_time_out_says_how_long_it_waited_and_what_sets_it(oracle: Oracle) -> None:
    with VLLM.server(oracle) as server:
        found = opened(
            TALKED,
            VLLM.choice(server, concurrency=1, timeout=0.05),
            lambda session: _hanging(server, session),
        )
    reason = f"127.0.0.1:{server.port} gave no answer within 0.05 s (--timeout sets how long to wait)"
    assert found.matrix.errors == {DIET: reason}


async def _hanging(server: ModelServer, session: Session) -> Outcome:
    server.on(scores_row(session, DIET), faults.Hang())
    return await score(session)


def test_the_first_answer_may_take_longer(oracle: Oracle) -> None:
    with VLLM.server(oracle) as server:
        server.on(
            lambda request: request.scoring == 1, lambda it: it.send(it.answer()) if it.wait(0.3) else None
        )
        assert run(TALKED, VLLM.choice(server, concurrency=1, timeout=0.2)).matrix.errors == {}
