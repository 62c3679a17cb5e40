"""Runs conversations on test servers, and says which request is which."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from memscope.conversation.model import Conversation
from memscope.scorers.base import LogProbs
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.run import Run
from memscope.scoring.session import Session
from memscope.settings import ScorerChoice
from tests.scorers_fake import TALK, conversation
from tests.servers.echo import EchoServer
from tests.servers.exchange import Request
from tests.servers.faults import Match
from tests.servers.model import ModelServer
from tests.servers.oracle import Oracle
from tests.servers.score import ScoreServer
from tests.servers.sglang import SglangServer
from tests.servers.vllm import VllmServer

T = TypeVar("T")
TALKED = conversation(*TALK)
HOME, DIET = 0, 1
"""The rows of TALKED."""
CLOSE = 1e-3
"""Nats a token by which a server may differ from the embedded engine that its numbers come from."""


@dataclass
class Outcome:
    """A session after a run, and the log-probabilities of each scored cell by (row, response).

    The baseline's row is None.
    """

    session: Session
    logprobs: dict[tuple[int | None, int], LogProbs]

    @property
    def matrix(self) -> ScoreMatrix:
        return self.session.matrix

    @property
    def run(self) -> Run:
        return self.session.prepared_run()


def run(talk: Conversation, choice: ScorerChoice, metric: Metric = Metric.SIGNED) -> Outcome:
    """Open, score to the end and close."""
    return opened(talk, choice, score, metric)


def opened(
    talk: Conversation,
    choice: ScorerChoice,
    work: Callable[[Session], Awaitable[T]],
    metric: Metric = Metric.SIGNED,
) -> T:
    """Open, work on the session, and close."""

    async def everything() -> T:
        session = Session(talk, choice=choice, metric=metric)
        try:
            await session.prepare()
            return await work(session)
        finally:
            await session.aclose()

    return asyncio.run(everything())


async def score(session: Session) -> Outcome:
    """Score to the end."""
    async for _ in session.score():
        pass
    return await outcome(session)


async def outcome(session: Session) -> Outcome:
    """What is known now."""
    found = session.prepared_run()
    logprobs: dict[tuple[int | None, int], LogProbs] = {}
    for row in (None, *range(len(session.matrix.keys))):
        for response in range(len(session.matrix.responses)):
            known = await found.logprobs(row, response)
            if known is not None:
                logprobs[row, response] = known
    return Outcome(session, logprobs)


def assert_same(ours: Outcome, theirs: Outcome, *, without: tuple[int, ...] = ()) -> None:
    """Every number is right to `CLOSE` nats a token; the rows in `without` have none."""
    expected = {key: value for key, value in theirs.logprobs.items() if key[0] not in without}
    assert ours.logprobs.keys() == expected.keys()
    for key, logprobs in expected.items():
        found = ours.logprobs[key]
        if ours.matrix.per_token:
            assert np.abs(found - logprobs).max() < CLOSE, key
        else:
            assert abs(float(found.sum()) - float(logprobs.astype(float).sum())) < CLOSE * len(logprobs), key
    values = ours.matrix.values(Metric.SIGNED)
    for row, states in enumerate(ours.matrix.states):
        assert (np.isfinite(values[row]) == (states == CellState.SCORED)).all()
        if row not in without:
            assert states.tolist() == theirs.matrix.states[row].tolist()
    assert set(ours.matrix.errors) == set(without)


@dataclass(frozen=True)
class Protocol:
    """A server of one kind and how it is opened."""

    name: str
    serve: Callable[..., ModelServer]
    settings: dict[str, Any]
    takes_tokenizer: bool = True

    def server(self, oracle: Oracle, **settings: Any) -> ModelServer:
        return self.serve(oracle, **(self.settings | settings))

    def choice(self, server: ModelServer, **choice: Any) -> ScorerChoice:
        tokenizer = {"tokenizer": str(server.oracle.folder.path)} if self.takes_tokenizer else {}
        named = {"url": server.url, "model": server.model, **tokenizer}
        return ScorerChoice(**(named | choice))


VLLM = Protocol("vllm", VllmServer, {})
SGLANG = Protocol("sglang", SglangServer, {})
ECHO = Protocol("echo", EchoServer, {})
SCORE = Protocol("score", ScoreServer, {"v1": False})
ECHO_TEXT = Protocol("echo, text only", EchoServer, {"takes_ids": False, "takes_lists": False})
LLAMA_CPP_PYTHON = Protocol("echo, llama-cpp-python", EchoServer, {"llama_cpp_python": True, "bos": 1})
ECHO_BOS = Protocol("echo, adds BOS", EchoServer, {"takes_ids": False, "adds_bos": True, "bos": 1})
SCORE_MESSAGES = Protocol("score, messages", ScoreServer, {"v2": False}, takes_tokenizer=False)
BASIC = (VLLM, SGLANG, ECHO, SCORE)
PROTOCOLS = (*BASIC, ECHO_TEXT, LLAMA_CPP_PYTHON, ECHO_BOS, SCORE_MESSAGES)


def named(protocol: Protocol) -> str:
    """A test's name for it."""
    return protocol.name


def prompts(request: Request) -> list[Any]:
    """The prompts of a scoring request: ids, texts or messages."""
    body = request.body if isinstance(request.body, dict) else {}
    given: Any = body.get("prompt", body.get("input_ids", body.get("messages", [])))
    several = isinstance(given, list) and bool(given) and isinstance(given[0], list)
    return given if several else [given]


def scores_row(session: Session, row: int | None) -> Match:
    """The scoring requests for a row of the session's matrix, or for its baseline."""
    plan = session.prepared_run().plan
    asked = [plan.request(each, each.responses) for each in plan.ablations if each.row == row]
    wanted = [ids for one in asked for ids in (one.ids.tolist(), "".join(one.texts))]
    return lambda request: bool(request.scoring) and any(prompt in wanted for prompt in prompts(request))


def first(matches: Match, times: int = 1) -> Match:
    """Only the first `times` of the requests that match."""
    left = [times]

    def match(request: Request) -> bool:
        if not left[0] or not matches(request):
            return False
        left[0] -= 1
        return True

    return match


def folder_of(server: ModelServer) -> Path:
    return server.oracle.folder.path
