"""Every protocol gives the numbers of the model behind the server."""

from pathlib import Path

import numpy as np
import pytest

from memscope.errors import ModelError
from memscope.scorers.servers.tokenizer import ServerTokenizer
from memscope.scorers.servers.vllm import VllmScorer
from memscope.scorers.tokenizer import PLAIN_TEMPLATE, FolderTokenizer
from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session, TokenView
from memscope.settings import ScorerChoice
from tests import model_folder
from tests.scorers.servers.running import (
    BASIC,
    CLOSE,
    DIET,
    ECHO_BOS,
    ECHO_TEXT,
    LLAMA_CPP_PYTHON,
    PROTOCOLS,
    SCORE,
    SCORE_MESSAGES,
    SGLANG,
    TALKED,
    VLLM,
    Outcome,
    Protocol,
    assert_same,
    named,
    opened,
    prompts,
    run,
    score,
)
from tests.servers.oracle import Oracle
from tests.servers.sglang import SglangServer

BOS = 1
"""The id of <|im_start|>."""


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=named)
def test_a_matrix_equals_the_embedded_scorers(protocol: Protocol, oracle: Oracle, embedded: Outcome) -> None:
    with protocol.server(oracle) as server:
        found = run(TALKED, protocol.choice(server))
    assert_same(found, embedded)


def test_a_server_is_asked_in_the_form_that_it_takes(oracle: Oracle) -> None:
    forms = {}
    for protocol in PROTOCOLS:
        with protocol.server(oracle) as server:
            opened(TALKED, protocol.choice(server), score)
            last = server.scored[-1].body
            (prompt, *_) = prompts(server.scored[-1])
            start = prompt[0] if isinstance(prompt, list) else prompt
            forms[protocol.name] = "messages" if "messages" in last else start
    assert {forms[name] for name in ("vllm", "sglang", "echo", "score")} == {BOS}
    assert str(forms["echo, text only"]).startswith("<|im_start|>system")
    assert str(forms["echo, llama-cpp-python"]).startswith("<|im_start|>system")
    assert str(forms["echo, adds BOS"]).startswith("system")
    assert forms["score, messages"] == "messages"


def test_vllm_tokenizes_itself_where_the_models_folder_is_not_here(oracle: Oracle, embedded: Outcome) -> None:
    with VLLM.server(oracle) as server:
        found = run(TALKED, ScorerChoice(url=server.url))
        assert isinstance(found.session.scorer, VllmScorer)
        assert isinstance(found.session.scorer.tokenizer, ServerTokenizer)
    assert_same(found, embedded)


def test_vllm_tokenizes_here_where_the_models_folder_is_the_same(oracle: Oracle, embedded: Outcome) -> None:
    with VLLM.server(oracle, root=str(oracle.folder.path)) as server:
        found = run(TALKED, ScorerChoice(url=server.url))
        assert isinstance(found.session.scorer, VllmScorer)
        assert isinstance(found.session.scorer.tokenizer, FolderTokenizer)
    assert_same(found, embedded)


def test_vllm_tokenizes_itself_where_the_folder_has_another_template(
    oracle: Oracle, tmp_path: Path, embedded: Outcome
) -> None:
    other = model_folder.write_folder(tmp_path / "other", model_folder.LLAMA3)
    with VLLM.server(oracle, root=str(other)) as server:
        found = run(TALKED, ScorerChoice(url=server.url))
        assert isinstance(found.session.scorer, VllmScorer)
        assert isinstance(found.session.scorer.tokenizer, ServerTokenizer)
    assert_same(found, embedded)


def test_sglang_computes_only_what_its_radix_cache_does_not_hold(oracle: Oracle) -> None:
    async def counted(session: Session) -> None:
        before = server.tokens_computed
        await score(session)
        assert session.cost is not None
        assert session.prepared_run().tokens_computed == server.tokens_computed - before
        assert session.prepared_run().tokens_computed <= session.cost.tokens_needed

    with SglangServer(oracle) as server:
        opened(TALKED, SGLANG.choice(server, concurrency=1), counted)


def test_a_server_that_cuts_the_text_otherwise_gives_right_totals(
    oracle: Oracle, tmp_path: Path, embedded: Outcome
) -> None:
    bytewise = model_folder.write_folder(
        tmp_path / "bytes", model_folder.CHATML, tokenizer=model_folder.bytes_only(), bos_token="<|im_start|>"
    )
    with ECHO_TEXT.server(oracle) as server:
        found = run(TALKED, ECHO_TEXT.choice(server, tokenizer=str(bytewise)))
    assert found.logprobs.keys() == embedded.logprobs.keys()
    for key, logprobs in embedded.logprobs.items():
        assert len(found.logprobs[key]) > len(logprobs)
        assert abs(float(found.logprobs[key].sum()) - float(logprobs.sum())) < CLOSE * len(logprobs)


def test_a_server_that_puts_bos_where_the_template_has_none_is_refused(
    oracle: Oracle, tmp_path: Path
) -> None:
    plain = model_folder.write_folder(tmp_path / "plain", PLAIN_TEMPLATE)
    with ECHO_BOS.server(oracle) as server, pytest.raises(ModelError, match="other tokens"):
        run(TALKED, ECHO_BOS.choice(server, tokenizer=str(plain)))


def test_llama_cpp_python_is_refused_where_its_numbers_are_off_by_one(oracle: Oracle, tmp_path: Path) -> None:
    plain = model_folder.write_folder(tmp_path / "plain", PLAIN_TEMPLATE)  # without BOS at its beginning
    with LLAMA_CPP_PYTHON.server(oracle) as server, pytest.raises(ModelError, match="other tokens"):
        run(TALKED, LLAMA_CPP_PYTHON.choice(server, tokenizer=str(plain)))


@pytest.mark.parametrize("protocol", [SCORE, SCORE_MESSAGES], ids=named)
class TestTotalsOnly:
    def test_there_is_no_token_view(self, protocol: Protocol, oracle: Oracle) -> None:
        async def view(session: Session) -> TokenView | None:
            await score(session)
            return await session.token_view(2, DIET)

        with protocol.server(oracle) as server:
            found = opened(TALKED, protocol.choice(server), view)
        assert found is not None
        assert found.totals_only
        assert found.without is not None
        assert found.with_all.shape == found.without.shape == (1,)

    def test_it_says_so(self, protocol: Protocol, oracle: Oracle) -> None:
        with protocol.server(oracle) as server:
            found = run(TALKED, protocol.choice(server))
        assert "This scorer gives only the total of each response, not its tokens." in found.session.notes

    def test_token_clamped_is_refused_before_anything_is_scored(
        self, protocol: Protocol, oracle: Oracle
    ) -> None:
        with protocol.server(oracle) as server:
            sentence = r"^smol \(score\) gives only the total of each response, .* signed or clamped\.$"
            with pytest.raises(ModelError, match=sentence):
                run(TALKED, protocol.choice(server), Metric.TOKEN_CLAMPED)
            assert server.wait_for(lambda: not server.open_connections)


@pytest.mark.parametrize("protocol", BASIC[:3], ids=named)
def test_token_clamped_works_where_tokens_come_back(
    protocol: Protocol, oracle: Oracle, embedded: Outcome
) -> None:
    with protocol.server(oracle) as server:
        found = run(TALKED, protocol.choice(server), Metric.TOKEN_CLAMPED)
    ours, theirs = (one.matrix.values(Metric.TOKEN_CLAMPED) for one in (found, embedded))
    assert np.allclose(ours, theirs, atol=0.05, equal_nan=True)
