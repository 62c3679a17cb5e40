"""Opening a server: which scorer it gets, and the one sentence where none will do."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from memscope.conversation.model import Conversation
from memscope.errors import InputError, MemscopeError, ModelError
from memscope.scorers.servers.client import ServerClient
from memscope.scorers.servers.scorer import ServerScorer
from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from memscope.settings import ScorerChoice
from tests.scorers.servers.running import (
    BASIC,
    ECHO,
    PROTOCOLS,
    SCORE,
    SGLANG,
    TALKED,
    VLLM,
    Outcome,
    Protocol,
    assert_same,
    named,
    opened,
    run,
)
from tests.servers import faults
from tests.servers.entries import Entries
from tests.servers.exchange import Effect, Exchange
from tests.servers.incapable import (
    HtmlServer,
    LlamaServer,
    LmStudioServer,
    MlxServer,
    NotFoundServer,
    OllamaServer,
    PlainServer,
)
from tests.servers.loopback import Loopback
from tests.servers.oracle import Oracle


async def scorer_of(session: Session) -> ServerScorer:
    assert isinstance(session.scorer, ServerScorer)
    return session.scorer


def scorer(choice: ScorerChoice, talk: Conversation = TALKED) -> ServerScorer:
    """The scorer that a choice opens, closed again."""
    return opened(talk, choice, scorer_of)


def refusal(choice: ScorerChoice) -> str:
    """The sentence with which a choice is refused."""
    with pytest.raises(MemscopeError) as refused:
        scorer(choice)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    return sentence


class TestWhichScorer:
    @pytest.mark.parametrize("protocol", PROTOCOLS, ids=named)
    def test_it_is_found_by_asking(self, protocol: Protocol, oracle: Oracle) -> None:
        with protocol.server(oracle) as server:
            found = scorer(protocol.choice(server))
        assert found.name == protocol.name.partition(",")[0]
        assert found.model == "smol"

    def test_a_kind_that_is_named_is_taken(self, oracle: Oracle, embedded: Outcome) -> None:
        with VLLM.server(oracle) as server:
            found = run(TALKED, VLLM.choice(server, kind="echo"))
        assert found.session.scorer_label.startswith("smol echo")
        assert_same(found, embedded)

    def test_a_kind_that_the_server_does_not_speak_is_refused(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            assert "/model_info" in refusal(VLLM.choice(server, kind="sglang"))

    @pytest.mark.parametrize(
        ("choice", "sentence"),
        [
            (
                ScorerChoice(kind="tgi", url="http://localhost:1"),
                "The scorer 'tgi' is unknown; choose one of"
                " embedded, transformers, vllm, sglang, echo, score.",
            ),
            (
                ScorerChoice(kind="vllm"),
                "The scorer vllm needs the address of its server; give it with --url.",
            ),
            (
                ScorerChoice(kind="embedded", url="http://localhost:1"),
                "The scorer embedded runs here and takes no URL; leave out one of the two.",
            ),
        ],
    )
    def test_a_choice_that_makes_no_sense_is_refused(self, choice: ScorerChoice, sentence: str) -> None:
        assert refusal(choice) == sentence


class TestIncapableServers:
    INSTEAD = (
        "; serve the model with vLLM or SGLang, or score on this machine with --scorer transformers or the"
        " embedded model."
    )
    SERVERS: tuple[tuple[Callable[[], Loopback], str], ...] = (
        (LlamaServer, " is llama-server (llama.cpp), which gives no log-probabilities of a prompt's tokens"),
        (OllamaServer, " is Ollama, which gives no log-probabilities of a prompt's tokens"),
        (LmStudioServer, " is LM Studio, which gives no log-probabilities of a prompt's tokens"),
        (PlainServer, " gives no log-probabilities of a prompt's tokens in any way known here ("),
        (MlxServer, " gives no log-probabilities of a prompt's tokens in any way known here ("),
        (NotFoundServer, " gives no log-probabilities of a prompt's tokens in any way known here ("),
        (HtmlServer, " gives no log-probabilities of a prompt's tokens in any way known here ("),
    )

    @pytest.mark.parametrize(("serve", "what"), SERVERS)
    def test_one_sentence_names_it_and_says_what_would_do(
        self, serve: Callable[[], Loopback], what: str
    ) -> None:
        with serve() as server:
            sentence = refusal(ScorerChoice(url=server.url))
        assert sentence.startswith(f"127.0.0.1:{server.port}{what}")
        assert sentence.endswith(self.INSTEAD)

    def test_one_that_refuses_echo_is_no_better(self) -> None:
        with LlamaServer(refuses_echo=True) as server:
            sentence = refusal(ScorerChoice(url=server.url, kind="echo"))
        assert "Only no echo is supported" in sentence

    @pytest.mark.parametrize("kind", ["vllm", "sglang", "echo", "score"])
    def test_naming_a_kind_does_not_make_it_capable(self, kind: str) -> None:
        with PlainServer() as server:
            refusal(ScorerChoice(url=server.url, kind=kind))

    def test_nothing_is_scored(self) -> None:
        with PlainServer() as server:
            session = Session(TALKED, choice=ScorerChoice(url=server.url))
            with pytest.raises(ModelError):
                opened(TALKED, ScorerChoice(url=server.url), scorer_of)
        assert session.matrix.count(CellState.SCORED) == 0
        assert session.noise_floor is None


def shifted(row: Entries) -> None:
    """Each log-probability stands one place too early."""
    values = [-0.5 - at for at in range(len(row))]
    for at in range(1, len(row)):
        row.set(at, values[at])


def made_logits(row: Entries) -> None:
    for at in range(1, len(row)):
        row.set(at, 11.5 + at)


class TestAnswersThatAreTriedOut:
    @pytest.mark.parametrize("protocol", BASIC, ids=named)
    def test_without_log_probabilities_the_server_is_refused(
        self, protocol: Protocol, oracle: Oracle
    ) -> None:
        with protocol.server(oracle) as server:
            faults.fail(server, faults.without_logprobs())
            sentence = refusal(protocol.choice(server, kind=protocol.name))
        assert "gave no log-probabilities of the prompt" in sentence or "gave 0 scores" in sentence

    @pytest.mark.parametrize("protocol", BASIC[:3], ids=named)
    def test_about_other_positions_the_server_is_refused(self, protocol: Protocol, oracle: Oracle) -> None:
        with protocol.server(oracle) as server:
            faults.fail(server, faults.entries(shifted))
            assert "its answers are about other tokens" in refusal(protocol.choice(server))

    @pytest.mark.parametrize("protocol", BASIC[:3], ids=named)
    def test_with_logits_the_server_is_refused(self, protocol: Protocol, oracle: Oracle) -> None:
        with protocol.server(oracle) as server:
            faults.fail(server, faults.entries(made_logits))
            assert "it must be set to give log-probabilities, not logits" in refusal(protocol.choice(server))

    def test_of_another_kind_of_score_the_server_is_refused(self, oracle: Oracle) -> None:
        with SCORE.server(oracle) as server:
            faults.fail(server, faults.wrong_shape({"data": [{"index": 0, "score": 0.98}]}))
            assert "gave 0 scores" in refusal(SCORE.choice(server))


def also_serves(*cards: dict[str, Any]) -> Effect:
    """The list of models with others in it."""
    return faults.changed(lambda value: value["data"].extend(cards))


class TestModels:
    def test_several_are_named_and_one_is_asked_for(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            other = {"id": "large", "owned_by": "vllm", "root": "/models/large", "max_model_len": 4096}
            server.on(faults.reading("/v1/models"), also_serves(other))
            sentence = refusal(ScorerChoice(url=server.url))
            assert f"127.0.0.1:{server.port} serves several models: choose with --model (smol, large)." == (
                sentence
            )
            assert scorer(ScorerChoice(url=server.url, model="smol")).model == "smol"

    def test_two_names_of_one_model_are_one(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            other = {"id": "alias", "owned_by": "vllm", "root": server.root, "max_model_len": 1024}
            server.on(faults.reading("/v1/models"), also_serves(other))
            assert scorer(ScorerChoice(url=server.url)).model == "smol"

    def test_a_wrong_name_is_answered_with_the_right_ones(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            sentence = refusal(ScorerChoice(url=server.url, model="large"))
        assert sentence == f"127.0.0.1:{server.port} does not serve large: choose with --model (smol)."


class TestContext:
    def test_the_server_tells_it(self, oracle: Oracle) -> None:
        with VLLM.server(oracle, max_model_len=300) as server:
            assert scorer(VLLM.choice(server)).context_length == 299

    def test_a_longer_conversation_is_scored_in_windows(self, oracle: Oracle) -> None:
        with VLLM.server(oracle, max_model_len=140) as server:
            found = run(TALKED, VLLM.choice(server))
        assert found.session.plan is not None
        assert len(found.session.plan.windows) > 1
        assert found.matrix.count(CellState.FAILED) == found.matrix.count(CellState.PENDING) == 0
        assert all(request.status == 200 for request in server.scored)

    def test_it_may_be_given(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            assert scorer(VLLM.choice(server, context=200)).context_length == 200

    def test_one_that_is_not_told_is_assumed_and_said(self, oracle: Oracle) -> None:
        with ECHO.server(oracle) as server:
            found = scorer(ECHO.choice(server))
        assert found.context_length == 4096
        assert found.notes == [
            f"127.0.0.1:{server.port} does not tell its context length: 4,096 tokens are assumed; --context"
            " sets it."
        ]


def one_by_one(seconds: float) -> Effect:
    """The true answer after so many seconds in which nothing else is worked at."""
    lock = threading.Lock()

    def effect(exchange: Exchange) -> None:
        with lock:
            time.sleep(seconds)
        exchange.send(exchange.answer())

    return effect


class TestConcurrency:
    def test_it_is_eight_where_prompts_are_worked_at_together(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            server.on(faults.since(1), lambda it: it.send(it.answer()) if it.wait(0.05) else None)
            assert scorer(VLLM.choice(server)).concurrency == 8

    def test_it_is_four_where_they_are_worked_at_in_turn(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            server.on(faults.since(1), one_by_one(0.05))
            assert scorer(VLLM.choice(server)).concurrency == 4

    def test_it_may_be_given(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            assert scorer(VLLM.choice(server, concurrency=3)).concurrency == 3


class TestPriority:
    @pytest.mark.parametrize("protocol", [VLLM, SCORE], ids=named)
    def test_other_work_on_the_server_goes_first(self, protocol: Protocol, oracle: Oracle) -> None:
        with protocol.server(oracle) as server:
            run(TALKED, protocol.choice(server))
            assert {request.body["priority"] for request in server.scored} == {100}

    def test_where_it_is_refused_none_is_sent(self, oracle: Oracle, embedded: Outcome) -> None:
        with VLLM.server(oracle, takes_priority=False) as server:
            assert_same(run(TALKED, VLLM.choice(server)), embedded)
            assert ["priority" in request.body for request in server.scored[:2]] == [True, False]
            assert not any("priority" in request.body for request in server.scored[1:])

    @pytest.mark.parametrize(("low_first", "priority"), [(True, 100), (False, -100)])
    def test_sglang_tells_which_way_it_counts(self, oracle: Oracle, low_first: bool, priority: int) -> None:
        told = {"enable_priority_scheduling": True, "schedule_low_priority_values_first": low_first}
        with SGLANG.server(oracle) as server:
            server.on(faults.reading("/server_info"), faults.changed(lambda value: value.update(told)))
            scorer(SGLANG.choice(server))
            assert {request.body["priority"] for request in server.scored} == {priority}

    def test_sglang_gets_none_where_it_does_not_schedule_by_it(self, oracle: Oracle) -> None:
        with SGLANG.server(oracle) as server:
            scorer(SGLANG.choice(server))
            assert not any("priority" in request.body for request in server.scored)


class TestAddresses:
    @pytest.mark.parametrize(
        "form", ["{url}", "{url}/", "{url}/v1", "{url}/v1/", "127.0.0.1:{port}", "{url}?a=b"]
    )
    def test_the_usual_forms_are_one(self, form: str, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            url = form.format(url=server.url, port=server.port)
            assert scorer(VLLM.choice(server, url=url)).client.base == server.url

    @pytest.mark.parametrize(
        "url",
        ["", "ftp://localhost", "http://", "http://localhost:99999", "http://[::1", "http://a:b", "://"],
    )
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        with pytest.raises(InputError, match=r"^The URL .* can't be used: .*\.$"):
            ServerClient(url)

    def test_a_server_that_is_not_there_is_named(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            pass
        sentence = refusal(ScorerChoice(url=server.url))
        assert sentence.startswith(f"127.0.0.1:{server.port} can't be reached: ")

    def test_a_wrong_key_says_where_to_give_it(self, oracle: Oracle) -> None:
        for protocol in BASIC:
            with protocol.server(oracle, key="right") as server:
                sentence = refusal(protocol.choice(server, api_key="wrong"))
            assert sentence.startswith(f"127.0.0.1:{server.port} answered 401: ")
            assert sentence.endswith("; give its key in MEMSCOPE_API_KEY.")

    @pytest.mark.parametrize("protocol", PROTOCOLS, ids=named)
    def test_the_right_key_opens(self, protocol: Protocol, oracle: Oracle) -> None:
        with protocol.server(oracle, key="right") as server:
            assert scorer(protocol.choice(server, api_key="right")).model == "smol"
