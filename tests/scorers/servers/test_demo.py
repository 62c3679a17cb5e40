"""The demo on every kind of server, held against transformers + torch (see benchmarks/reference.py)."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.lib.npyio import NpzFile

from memscope.scorers.base import LogProbs, TokenIds
from memscope.scorers.embedded.pull import DEFAULT_MODEL, models_dir
from memscope.scoring.session import Session
from tests.scorers.servers.running import CLOSE, PROTOCOLS, SGLANG, Protocol, named, run
from tests.servers.oracle import Oracle
from tests.test_reference import FIXTURE

_LONG = 100
"""Tokens that every prompt of the demo has and no probe."""


class DemoOracle(Oracle):
    """Knows the demo's prompts from the run of the embedded model, and computes others.

    Tokens outside of the responses, which nobody reads, and the token after such a prompt are made up.
    """

    def learn(self, ids: TokenIds, logprobs: LogProbs) -> None:
        """`logprobs` belong to these ids, whatever the template puts after them."""
        self._known[ids.tobytes()] = logprobs
        self._next[ids.tobytes()] = 0, -1.0

    def logprobs(self, ids: list[int] | TokenIds) -> LogProbs:
        key = np.asarray(ids, np.int32).tobytes()
        for known, logprobs in self._known.items():
            if len(logprobs) > _LONG and key.startswith(known):
                return np.append(logprobs, [-1.0] * (len(ids) - len(logprobs))).astype(np.float32)
        return super().logprobs(ids)


@pytest.fixture(scope="module")
def reference() -> Iterator[NpzFile]:
    with np.load(FIXTURE) as arrays:
        yield arrays


@pytest.fixture(scope="module")
def oracle(demo: Session) -> DemoOracle:
    oracle = DemoOracle(models_dir() / DEFAULT_MODEL)
    scored = demo.prepared_run()
    for ablation in scored.plan.ablations:
        request = scored.plan.request(ablation, ablation.responses)
        logprobs = np.full(len(request.ids), -1.0, np.float32)
        logprobs[0] = np.nan
        for response, span in zip(ablation.responses, request.spans, strict=True):
            known = asyncio.run(scored.logprobs(ablation.row, response))
            assert known is not None
            logprobs[span] = known
        oracle.learn(request.ids, logprobs)
    return oracle


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=named)
def test_the_demo_equals_the_reference(
    protocol: Protocol, oracle: DemoOracle, demo: Session, reference: NpzFile
) -> None:
    with protocol.server(oracle) as server:
        found = run(demo.conversation, protocol.choice(server, concurrency=2))
    assert oracle.tokens_computed < 1000, "only the probes are new"
    assert found.matrix.states.tolist() == demo.matrix.states.tolist()
    for (row, response), logprobs in found.logprobs.items():
        entry = demo.conversation.responses[response]
        expected = reference[f"logprobs/{entry}" if row is None else f"without/{row}/{entry}"]
        if found.matrix.per_token:
            assert np.abs(logprobs - expected).max() < CLOSE
        else:
            assert abs(float(logprobs.sum()) - float(expected.astype(float).sum())) < CLOSE * len(expected)


def test_sglang_computes_little_more_than_the_embedded_model(oracle: DemoOracle, demo: Session) -> None:
    with SGLANG.server(oracle) as server:
        found = run(demo.conversation, SGLANG.choice(server, concurrency=1))
    assert demo.cost is not None
    repeats = 2 * len(demo.prepared_run().plan.prompt.ids)
    assert found.run.tokens_computed <= demo.cost.tokens_needed + repeats < demo.cost.tokens_naive
