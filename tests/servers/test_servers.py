"""Each test server answers as its protocol says, and each fault is the fault it is named for."""

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import model_folder
from tests.scorers.embedded import tiny
from tests.servers import faults
from tests.servers.echo import EchoServer
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
from tests.servers.score import ScoreServer
from tests.servers.sglang import SglangServer
from tests.servers.vllm import VllmServer

TALK = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "Where does Ana live?"},
    {"role": "assistant", "content": "Ana lives in Lyon."},
]
IDS = tiny.random_ids(40, 400, seed=3).tolist()
SHORT = IDS[:25] + IDS[30:]
BOS = 1  # <|im_start|>


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_model(folder, vocab_size=400)
    special = {"bos_token": "<|im_start|>", "eos_token": "<|endoftext|>"}
    return Oracle(model_folder.write_folder(folder, model_folder.CHATML, **special))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10) as client:
        yield client


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "smol", "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0, **fields}


def ask(client: httpx.Client, server: Loopback, path: str, body: Any) -> Any:
    response = client.post(server.url + path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def same(values: list[float], expected: Any) -> bool:
    return np.allclose(np.array(values, np.float64), expected, atol=1e-6)


def test_the_oracle_gives_exact_numbers_and_reuses_prefixes(tmp_path: Path) -> None:
    weights = tiny.write_model(tmp_path)
    oracle = Oracle(tmp_path)
    ids = tiny.random_ids(300)
    without = np.concatenate([ids[:200], ids[230:]])
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(oracle.logprobs, [ids, ids, without, ids]))
    assert np.isnan(rows[0][0])
    assert np.allclose(rows[0][1:], tiny.reference_logprobs(tiny.CONFIG, weights, ids)[1:], atol=1e-4)
    assert np.allclose(rows[2][1:], tiny.reference_logprobs(tiny.CONFIG, weights, without)[1:], atol=1e-4)
    assert oracle.tokens_computed <= 300 + 100
    token, logprob = oracle.next_token(ids)
    longer = tiny.reference_logprobs(tiny.CONFIG, weights, np.array([*ids, token], np.int32))
    assert math.isclose(logprob, longer[-1], abs_tol=1e-4)
    assert oracle.tokens_computed <= 300 + 100


def test_vllm_completions(oracle: Oracle, client: httpx.Client) -> None:
    with VllmServer(oracle, max_model_len=64, takes_priority=False) as server:
        answer = ask(
            client, server, "/v1/completions", completion(prompt=[IDS, SHORT], return_token_ids=True)
        )
        for choice, ids in zip(answer["choices"], [IDS, SHORT], strict=True):
            rows = choice["prompt_logprobs"]
            assert rows[0] is None
            assert choice["prompt_token_ids"] == ids
            values = [row[str(token)]["logprob"] for row, token in zip(rows[1:], ids[1:], strict=True)]
            assert same(values, oracle.logprobs(ids)[1:])
        one = ask(client, server, "/v1/completions", completion(prompt="Ana lives", logprobs=0))
        (logprob,) = one["choices"][0]["logprobs"]["token_logprobs"]
        assert math.isclose(logprob, oracle.next_token(server.encode("Ana lives"))[1], abs_tol=1e-6)
        (model,) = client.get(server.url + "/v1/models").json()["data"]
        assert (model["owned_by"], model["max_model_len"]) == ("vllm", 64)
        statuses = [
            client.post(server.url + "/v1/completions", json=completion(**fields)).status_code
            for fields in (
                {"prompt": IDS, "model": "other"},
                {"prompt": IDS * 2},
                {"prompt": IDS, "priority": 9},
            )
        ]
        assert statuses == [404, 400, 400]
    assert len(server.scored) == 5


def test_vllm_tokenizes(oracle: Oracle, client: httpx.Client) -> None:
    with VllmServer(oracle) as server:
        body = {"messages": TALK, "add_generation_prompt": False, "return_token_strs": True}
        answer = ask(client, server, "/tokenize", body)
        assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
        text = ask(client, server, "/detokenize", {"tokens": answer["tokens"]})["prompt"]
        assert text == oracle.tokenizer.render(TALK)
        plain = ask(client, server, "/tokenize", {"prompt": text, "add_special_tokens": False})
        assert plain["tokens"] == answer["tokens"]


def test_sglang_reuses_its_cache_up_to_the_first_logprob(oracle: Oracle, client: httpx.Client) -> None:
    sampling = {"temperature": 0, "max_new_tokens": 1}
    with SglangServer(oracle) as server:
        body = {"input_ids": IDS, "return_logprob": True, "logprob_start_len": 9, "sampling_params": sampling}
        meta = ask(client, server, "/generate", body)["meta_info"]
        assert meta["cached_tokens"] == 0
        assert [row[1] for row in meta["input_token_logprobs"]] == IDS[9:]
        values = [row[0] for row in meta["input_token_logprobs"]]
        assert values[0] is None
        assert same(values[1:], oracle.logprobs(IDS)[10:])
        body |= {"input_ids": [SHORT, IDS], "logprob_start_len": [30, 12]}
        answers = ask(client, server, "/generate", body)
        assert [answer["meta_info"]["cached_tokens"] for answer in answers] == [25, 12]
        tokens = ask(client, server, "/tokenize", {"prompt": "Ana", "add_special_tokens": False})
        assert ask(client, server, "/detokenize", {"tokens": tokens["tokens"]}) == {"text": "Ana"}
        assert client.get(server.url + "/v1/models").json()["data"][0]["owned_by"] == "sglang"
        for path in ("/get_model_info", "/model_info"):
            assert client.get(server.url + path).json()["is_generation"]
        assert client.get(server.url + "/server_info").json()["version"]


def test_echo_of_text_and_ids(oracle: Oracle, client: httpx.Client) -> None:
    with EchoServer(oracle) as server:
        text = oracle.tokenizer.render(TALK) + "caf\u00e9"
        ids = server.encode(text)
        answer = ask(client, server, "/v1/completions", completion(prompt=[text, ids], echo=True, logprobs=1))
        for choice in answer["choices"]:
            logprobs = choice["logprobs"]
            assert logprobs["token_logprobs"][0] is None
            assert same(logprobs["token_logprobs"][1:-1], oracle.logprobs(ids)[1:])
            assert choice["text"].startswith(text)
            assert len(logprobs["text_offset"]) == len(logprobs["tokens"]) == len(ids) + 1
            assert logprobs["text_offset"][-1] == len(text)
    with EchoServer(oracle, takes_ids=False, takes_lists=False) as server:
        for prompt in (IDS, ["a", "b"]):
            assert (
                client.post(server.url + "/v1/completions", json=completion(prompt=prompt)).status_code == 400
            )


def test_echo_with_the_peculiarities_of_llama_cpp_python(oracle: Oracle, client: httpx.Client) -> None:
    with EchoServer(oracle, llama_cpp_python=True, bos=BOS) as server:
        text = oracle.tokenizer.render(TALK)
        ids = server.encode(text)
        assert ids[0] == BOS
        body = completion(prompt=text, echo=True, logprobs=1)
        logprobs = ask(client, server, "/v1/completions", body)["choices"][0]["logprobs"]
        kept = [at for at, token in enumerate(ids) if token != BOS]
        assert len(kept) < len(ids) - 1
        assert len(logprobs["tokens"]) == len(kept) + 1
        assert same(logprobs["token_logprobs"][1:-1], oracle.logprobs(ids)[kept[1:]])

        body["prompt"] = "Ana lives in Lyon."
        ids = server.encode(body["prompt"])
        shifted = ask(client, server, "/v1/completions", body)["choices"][0]["logprobs"]
        assert len(shifted["tokens"]) == len(ids)
        again = [oracle.logprobs([*ids[: at + 1], token])[-1] for at, token in enumerate(ids)]
        assert np.allclose(shifted["token_logprobs"][1:], again[1:], atol=1e-4)
        assert client.post(server.url + "/v1/completions", json=completion(prompt=IDS)).status_code == 500


def test_score_totals(oracle: Oracle, client: httpx.Client) -> None:
    with ScoreServer(oracle, base="/v1") as server:
        ids, places = server.contents(TALK)
        assert ids[places[2].start : places[2].stop] == oracle.tokenizer.encode(TALK[2]["content"]).ids
        expected = float(oracle.logprobs(ids)[places[2].start : places[2].stop].sum())
        (first,) = ask(client, server, "/v1/score", {"model": "smol", "messages": TALK})["scores"]
        body = {"model": "smol", "prompt": ids, "score_ranges": [[places[2].start, places[2].stop]]}
        (second,) = ask(client, server, "/v1/score", body)["scores"]
        assert math.isclose(first["total_logprob"], expected, rel_tol=1e-5)
        assert first == second
    with ScoreServer(oracle, v2=False, errors_as_200=True) as server:
        assert set(ask(client, server, "/score", {"prompt": ids, "score_ranges": []})) == {"error"}
    with ScoreServer(oracle, v1=False) as server:
        assert client.post(server.url + "/score", json={"messages": TALK}).status_code == 400


def test_servers_without_prompt_logprobs(client: httpx.Client) -> None:
    kinds: list[type[PlainServer]] = [LlamaServer, OllamaServer, LmStudioServer, PlainServer, MlxServer]
    owners = []
    for kind in kinds:
        with kind() as server:
            body = completion(prompt="Ana lives", echo=True, logprobs=1)
            (choice,) = ask(client, server, "/v1/completions", body)["choices"]
            assert choice["text"] == " the"
            assert "prompt_logprobs" not in choice
            owners.append(client.get(server.url + "/v1/models").json()["data"][0].get("owned_by"))
    assert owners == ["llamacpp", "library", "organization_owner", "system", None]
    with LlamaServer(refuses_echo=True) as server:
        body = completion(prompt=IDS, echo=True)
        assert client.post(server.url + "/v1/completions", json=body).status_code == 500
    with NotFoundServer() as nothing, HtmlServer() as page:
        assert client.get(nothing.url + "/v1/models").status_code == 404
        assert client.post(page.url + "/v1/completions", json={}).text.startswith("<!doctype")


def test_the_server_counts_connections_and_requests_in_flight(oracle: Oracle, client: httpx.Client) -> None:
    hang = faults.Hang()
    with VllmServer(oracle) as server:
        faults.fail(server, hang, 1, 2, 3)
        bodies = [completion(prompt=IDS)] * 3
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(ask, client, server, "/v1/completions", body) for body in bodies]
            server.wait_for(lambda: server.in_flight == 3)
            hang.release()
            for answer in asked:
                answer.result()
        server.wait_for(lambda: server.in_flight == 0)
        assert (server.connections, server.peak) == (3, 3)
        for body in bodies:
            ask(client, server, "/v1/completions", body)
        assert server.connections == 3
        assert [request.scoring for request in server.requests] == [1, 2, 3, 4, 5, 6]
        server.wait_for(lambda: all(request.status == 200 for request in server.requests))


def test_a_key_is_required(oracle: Oracle, client: httpx.Client) -> None:
    servers = [VllmServer(oracle, key="k1"), SglangServer(oracle, key="k1"), PlainServer(key="k1")]
    errors = []
    for server in servers:
        with server:
            refused = client.get(server.url + "/v1/models", headers={"Authorization": "Bearer k2"})
            assert refused.status_code == 401
            errors.append(refused.json()["error"])
            taken = client.get(server.url + "/v1/models", headers={"Authorization": "Bearer k1"})
            assert taken.status_code == 200
            assert server.requests[-1].headers["authorization"] == "Bearer k1"
    assert errors[:2] == ["Unauthorized"] * 2
    assert errors[2]["code"] == "invalid_api_key"


def test_a_server_restarts_on_its_port(oracle: Oracle, client: httpx.Client) -> None:
    with VllmServer(oracle) as server:
        url = server.url
        client.get(url + "/version")
        server.stop()
        with pytest.raises(httpx.ConnectError):
            client.get(url + "/version")
        server.start()
        assert client.get(url + "/version").status_code == 200
        assert server.url == url
        server.restart()
        assert client.get(url + "/version").status_code == 200
        assert server.connections == 3


def test_a_client_that_leaves_is_noticed(oracle: Oracle) -> None:
    hang = faults.Hang()
    with VllmServer(oracle) as server:
        faults.fail(server, hang, 1)
        with httpx.Client(timeout=0.2) as client, pytest.raises(httpx.ReadTimeout):
            ask(client, server, "/v1/completions", completion(prompt=IDS))
        assert server.wait_for(lambda: bool(server.left))
        assert [request.scoring for request in server.left] == [1]
        assert server.requests[0].status == 0


def test_a_hanging_request_can_be_released(oracle: Oracle, client: httpx.Client) -> None:
    hang = faults.Hang()
    with VllmServer(oracle) as server, ThreadPoolExecutor(1) as pool:
        faults.fail(server, hang)
        future = pool.submit(ask, client, server, "/v1/completions", completion(prompt=IDS))
        assert hang.waiting.wait(5)
        assert not future.done()
        hang.release()
        assert future.result()["model"] == "smol"


BROKEN: list[tuple[Any, type[Exception]]] = [
    (faults.half_body, httpx.RemoteProtocolError),
    (faults.closed, httpx.RemoteProtocolError),
    (faults.reset, httpx.ReadError),
    (faults.not_json, json.JSONDecodeError),
]


@pytest.mark.parametrize(("effect", "error"), BROKEN)
def test_broken_answers(oracle: Oracle, client: httpx.Client, effect: Any, error: type[Exception]) -> None:
    with VllmServer(oracle) as server:
        faults.fail(server, effect, 2)
        body = completion(prompt=IDS)
        ask(client, server, "/v1/completions", body)
        with pytest.raises(error):
            ask(client, server, "/v1/completions", body)
        ask(client, server, "/v1/completions", body)


def test_errors_with_headers(oracle: Oracle, client: httpx.Client) -> None:
    with VllmServer(oracle, key="k1") as server, VllmServer(oracle, model="other") as other:
        effects = [
            faults.too_many(2),
            faults.too_many(90, date=True),
            faults.status(503),
            faults.tells_key(),
            faults.redirect(other.url),
            faults.answers_as("other"),
            faults.becomes(root="/models/new"),
        ]
        for number, effect in enumerate(effects, 1):
            faults.fail(server, effect, number)
        url, key = server.url + "/v1/completions", {"Authorization": "Bearer k1"}
        answers = [client.post(url, json=completion(prompt=IDS), headers=key) for _ in effects]
        assert [answer.status_code for answer in answers] == [429, 429, 503, 401, 307, 200, 200]
        assert answers[0].headers["retry-after"] == "2"
        assert 80 < parsedate_to_datetime(answers[1].headers["retry-after"]).timestamp() - time.time() <= 90
        assert "Bearer k1" in answers[3].text
        assert answers[4].headers["location"] == other.url + "/v1/completions"
        assert answers[5].json()["model"] == "other"
        models = client.get(server.url + "/v1/models", headers=key).json()
        assert models["data"][0]["root"] == "/models/new"


def vllm_row(answer: Any) -> list[Any]:
    rows = answer["choices"][0]["prompt_logprobs"] or []
    return [row and (int(next(iter(row))), next(iter(row.values()))["logprob"]) for row in rows]


def sglang_row(answer: Any) -> list[Any]:
    rows = answer["meta_info"].get("input_token_logprobs", [])
    return [None if value is None else (token, value) for value, token, _ in rows]


def echo_row(answer: Any) -> list[Any]:
    logprobs = answer["choices"][0]["logprobs"] or {"token_logprobs": [], "tokens": []}
    pairs = zip(logprobs["token_logprobs"], logprobs["tokens"], strict=True)
    return [None if value is None else (piece, value) for value, piece in pairs][:-1]


PROTOCOLS: list[tuple[type[Any], str, dict[str, Any], Callable[[Any], list[Any]]]] = [
    (VllmServer, "/v1/completions", completion(prompt=IDS), vllm_row),
    (EchoServer, "/v1/completions", completion(prompt=IDS, echo=True, logprobs=1), echo_row),
    (
        SglangServer,
        "/generate",
        {
            "input_ids": IDS,
            "return_logprob": True,
            "logprob_start_len": 0,
            "sampling_params": {"max_new_tokens": 1},
        },
        sglang_row,
    ),
]


@pytest.mark.parametrize(("kind", "path", "body", "row"), PROTOCOLS)
def test_tampered_log_probabilities(
    oracle: Oracle,
    client: httpx.Client,
    kind: type[Any],
    path: str,
    body: dict[str, Any],
    row: Callable[[Any], list[Any]],
) -> None:
    effects = [
        faults.logprob(math.nan),
        faults.logprob(math.inf, at=5),
        faults.logprob(0.5),
        faults.null_inside(),
        faults.too_few(),
        faults.other_token(),
        faults.without_logprobs(),
    ]
    with kind(oracle) as server:
        for number, effect in enumerate(effects, 2):
            faults.fail(server, effect, number)
        true, nan, infinite, positive, null, few, other, without = (
            row(ask(client, server, path, body)) for _ in range(8)
        )
    assert len(true) == len(IDS)
    assert math.isnan(nan[-1][1])
    assert infinite[5][1] == math.inf
    assert positive[-1][1] == 0.5
    assert null[20] is None
    assert few == true[:-1]
    assert other[:-1] == true[:-1]
    assert other[-1][0] != true[-1][0]
    assert without == []


def test_a_drip_is_slow_but_whole(oracle: Oracle, client: httpx.Client) -> None:
    with ScoreServer(oracle) as server:
        server.on(faults.asking(lambda body: body["priority"] == 5, times=1), faults.drip(0.005))
        body = {"model": "smol", "prompt": IDS, "score_ranges": [[3, 9]], "priority": 5}
        slow, fast = (ask(client, server, "/score", body) for _ in range(2))
        assert slow == fast
