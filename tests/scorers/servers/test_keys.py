"""A key goes to its server and nowhere else: to no message, log, file or other server."""

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from memscope.errors import InputError, MemscopeError
from memscope.export import to_json
from memscope.scorers.servers.client import ServerClient, ServerError
from memscope.scoring.session import Session
from memscope.settings import ScorerChoice
from tests.scorers.servers.running import DIET, TALKED, VLLM, Outcome, opened, run, score, scores_row
from tests.servers import faults
from tests.servers.exchange import Answer, Effect, Request, as_json
from tests.servers.loopback import Loopback
from tests.servers.oracle import Oracle

KEY = "sk-0123456789-abcdefghij"


def test_every_request_that_needs_the_key_carries_it(oracle: Oracle) -> None:
    with VLLM.server(oracle, key=KEY) as server:
        assert run(TALKED, VLLM.choice(server, api_key=KEY)).matrix.errors == {}
        assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_without_a_key_nothing_is_sent(oracle: Oracle) -> None:
    with VLLM.server(oracle) as server:
        run(TALKED, VLLM.choice(server))
        assert not any("authorization" in request.headers for request in server.requests)


def test_a_choice_does_not_show_it() -> None:
    assert KEY not in repr(ScorerChoice(url="http://localhost", api_key=KEY))


def test_neither_logs_nor_files_nor_exports_hold_it(
    oracle: Oracle, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def failing(session: Session) -> Outcome:
        server.on(scores_row(session, DIET), faults.tells_key(503))
        return await score(session)

    with VLLM.server(oracle, key=KEY) as server:
        found = opened(TALKED, VLLM.choice(server, api_key=KEY), failing)
    assert "Bad credentials: Bearer ***" in found.matrix.errors[DIET]
    assert KEY.encode() not in to_json(found.session)
    assert len(caplog.records) > 20
    for record in caplog.records:
        assert KEY not in record.getMessage() + repr(record.__dict__)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    assert not any(KEY.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("code", [400, 401, 403, 429, 500])
def test_a_server_that_repeats_it_is_not_repeated(code: int, oracle: Oracle) -> None:
    with VLLM.server(oracle) as server:
        server.on(lambda request: True, faults.tells_key(code))
        with pytest.raises(MemscopeError) as refused:
            run(TALKED, VLLM.choice(server, api_key=KEY))
    assert KEY not in str(refused.value)


class Saying(Loopback):
    """Answers 400 with whatever it was made to say, `{key}` being the credentials that it got."""

    def __init__(self, *, say: str, as_detail: bool = False) -> None:
        super().__init__()
        self.say = say
        self.as_detail = as_detail

    def respond(self, request: Request) -> Answer:
        sent = request.headers["authorization"].partition(" ")[2]
        said = self.say.replace("{key}", sent)
        if self.as_detail:
            return as_json({"detail": [{"msg": said, "loc": ["header", "authorization"]}]}, 400)
        return Answer(400, said.encode(), "text/plain")


def reason(server: Loopback, key: str, url: str | None = None) -> str:
    """What is said of the server's failure."""

    async def ask() -> str:
        client = ServerClient(url or server.url, api_key=key)
        try:
            with pytest.raises(ServerError) as failed:
                await client.post("/score", {})
        finally:
            await client.aclose()
        return str(failed.value)

    return asyncio.run(ask())


@pytest.mark.parametrize("before", [270, 277, 284, 298])
def test_no_part_of_it_is_left_where_a_long_reason_is_cut(before: int) -> None:
    with Saying(say="x" * before + "{key}") as server:
        assert KEY[:4] not in reason(server, KEY)


def test_it_is_found_however_it_is_written() -> None:
    key = 'a"quoted\\key/with<signs>&more'
    for as_detail in (False, True):
        with Saying(say="wrong key {key}", as_detail=as_detail) as server:
            said = reason(server, key)
        assert "wrong key ***" in said
        assert "quoted" not in said


def test_a_long_reason_is_cut() -> None:
    with Saying(say="word " * 1000) as server:
        assert len(reason(server, KEY)) < 400


class TestRedirects:
    @pytest.fixture
    def elsewhere(self, oracle: Oracle) -> Iterator[Loopback]:
        with VLLM.server(oracle) as server:
            yield server

    def test_another_server_does_not_get_it(self, oracle: Oracle, elsewhere: Loopback) -> None:
        with VLLM.server(oracle, key=KEY) as server:
            faults.fail(server, faults.redirect(elsewhere.url))
            assert run(TALKED, VLLM.choice(server, api_key=KEY)).matrix.errors == {}
        assert elsewhere.scored
        assert not any("authorization" in request.headers for request in elsewhere.requests)
        assert not any(KEY.encode() in request.raw for request in elsewhere.requests)

    @pytest.mark.parametrize("target", ["ftp://127.0.0.1", "http://[", "gopher:"])
    def test_to_where_nothing_can_be_asked_is_one_sentence(self, oracle: Oracle, target: str) -> None:
        with VLLM.server(oracle) as server:
            faults.fail(server, faults.redirect(f"{target}/{KEY}"))
            with pytest.raises(MemscopeError) as refused:
                run(TALKED, VLLM.choice(server, api_key=KEY))
        assert str(refused.value).endswith(".")
        assert KEY not in str(refused.value)

    def test_in_a_circle_it_ends(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            faults.fail(server, lambda exchange: faults.redirect(server.url)(exchange))
            with pytest.raises(MemscopeError, match="redirects to where nothing can be asked"):
                run(TALKED, VLLM.choice(server))


class TestCredentialsInTheAddress:
    def test_they_are_sent_and_not_shown(self, oracle: Oracle) -> None:
        with VLLM.server(oracle) as server:
            url = server.url.replace("//", "//nora:s%40cret@")
            found = run(TALKED, VLLM.choice(server, url=url))
            sent = {request.headers["authorization"] for request in server.requests}
        assert sent == {"Basic " + base64.b64encode(b"nora:s@cret").decode()}
        assert "cret" not in json.dumps([*found.session.notes, found.session.scorer_label])
        client = ServerClient(url)
        assert (client.base, client.label) == (server.url, server.url.removeprefix("http://"))

    def test_a_server_that_repeats_them_is_not_repeated(self) -> None:
        with Saying(say="wrong: {key} s@cret s%40cret") as server:
            said = reason(server, KEY, server.url.replace("//", "//nora:s%40cret@"))
        assert said.endswith("wrong: *** *** ***")

    def test_an_address_that_is_none_is_refused_without_them(self) -> None:
        for url in ("ftp://nora:secret@localhost", "http://nora:secret@", "http://nora:secret@a:b"):
            with pytest.raises(InputError) as refused:
                ServerClient(url)
            assert "secret" not in str(refused.value)


def test_a_server_may_be_named_like_the_key(oracle: Oracle) -> None:
    """Whatever a server calls its models is not believed to be harmless."""
    answer: Effect = faults.answers_as(f"model-{KEY}\x1b[2J")

    async def failing(session: Session) -> Outcome:
        server.on(scores_row(session, DIET), answer)
        return await score(session)

    with VLLM.server(oracle) as server:
        found = opened(TALKED, VLLM.choice(server, api_key=KEY), failing)
    assert KEY not in found.matrix.errors[DIET]
    assert "\x1b" not in found.matrix.errors[DIET]
