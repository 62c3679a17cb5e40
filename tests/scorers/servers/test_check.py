"""What `memscope check` finds out about a scorer."""

import asyncio
import re
from pathlib import Path

import pytest

from memscope.errors import ModelError
from memscope.scorers.check import check
from memscope.scorers.embedded.folder import ModelFolder
from memscope.scorers.embedded.scorer import EmbeddedScorer
from memscope.scoring.session import Session
from tests.scorers.servers.running import PROTOCOLS, SCORE, SGLANG, TALKED, VLLM, Protocol, named, opened
from tests.servers import faults
from tests.servers.model import ModelServer
from tests.servers.oracle import Oracle


async def findings(session: Session) -> dict[str, str]:
    assert session.scorer is not None
    return {what: found async for what, found in check(session.scorer)}


def found_of(protocol: Protocol, server: ModelServer) -> dict[str, str]:
    return opened(TALKED, protocol.choice(server, concurrency=2), findings)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=named)
def test_every_kind_of_server_is_looked_at_in_the_same_order(protocol: Protocol, oracle: Oracle) -> None:
    with protocol.server(oracle, max_model_len=4096) as server:  # this tokenizer needs many for a word
        found = found_of(protocol, server)
    assert [what for what in found if what not in ("loaded from", "note")] == [
        *("server", "scorer", "priority", "model", "context length", "tokenizer", "log-probabilities"),
        *("prefix reuse", "noise floor", "speed"),
    ]
    assert found["server"].endswith(f" at http://127.0.0.1:{server.port}")
    assert found["model"] == "smol"
    assert re.search(r"\d requests/s, [\d,]+ tokens/s with 1 at once; .* with 2 at once", found["speed"])
    assert found["noise floor"].startswith("0 nats over ")


def test_vllm_says_its_version_and_agrees_with_what_it_generates(oracle: Oracle) -> None:
    with VLLM.server(oracle, version="0.32.1") as server:
        found = found_of(VLLM, server)
    assert found["server"].startswith("vLLM 0.32.1 at ")
    assert found["loaded from"] == "/models/smol"
    assert found["prefix reuse"].startswith("no: none of 512 tokens")
    as_prompt, generated = re.findall(r"-\d+\.\d{4}", found["log-probabilities"])
    assert as_prompt == generated


def test_sglang_reuses_what_two_prompts_share(oracle: Oracle) -> None:
    with SGLANG.server(oracle) as server:
        assert found_of(SGLANG, server)["prefix reuse"].startswith("yes: ")


def test_totals_are_said_to_be_totals(oracle: Oracle) -> None:
    with SCORE.server(oracle) as server:
        assert found_of(SCORE, server)["log-probabilities"].startswith("the total of a response only: -")


def test_a_scorer_on_this_machine_is_exact(folder: Path) -> None:
    async def look() -> dict[str, str]:
        scorer = EmbeddedScorer(ModelFolder(folder))
        try:
            return {what: found async for what, found in check(scorer)}
        finally:
            await scorer.aclose()

    found = asyncio.run(look())
    assert found["scorer"] == "embedded, on this machine"
    assert found["noise floor"] == "0.0001 nats: equal requests give equal numbers"
    assert found["prefix reuse"].startswith("yes: ")


def test_a_failure_is_one_sentence(oracle: Oracle) -> None:
    with VLLM.server(oracle) as server:

        async def failing(session: Session) -> dict[str, str]:
            faults.fail(server, faults.status(500, "out of memory"))
            return await findings(session)

        sentence = r"^smol \(vllm\) failed while it was checked: [\d.:]+ answered 500: out of memory\.$"
        with pytest.raises(ModelError, match=sentence):
            opened(TALKED, VLLM.choice(server), failing)
