"""Answers of a real vLLM 0.32 (SmolLM2-135M-Instruct), kept as they came, are read as they are meant."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memscope.scorers.base import ScoreRequest
from memscope.scorers.servers.client import ServerClient, ServerError
from memscope.scorers.servers.scorer import served_model
from memscope.scorers.servers.tokenizer import ServerTokenizer
from memscope.scorers.servers.vllm import VllmScorer
from tests.servers.exchange import Answer, Request, as_json
from tests.servers.loopback import Loopback

FIXTURES = Path(__file__).parents[2] / "fixtures" / "vllm"


def kept(name: str) -> Any:
    """A request and the answer that it got."""
    return json.loads((FIXTURES / f"{name}.json").read_bytes())


class Recording(Loopback):
    """Answers with what was kept, `completion` where tokens are to be scored; a text's tokens are letters."""

    scoring_paths = ("/v1/completions",)
    completion = "completions"

    def respond(self, request: Request) -> Answer:
        if "prompt" in (request.body or {}) and request.path == "/tokenize":
            letters = [{" ": "Ġ", "\n": "Ċ"}.get(letter, letter) for letter in request.body["prompt"]]
            return as_json({"tokens": [ord(letter) for letter in letters], "token_strs": letters})
        names = {"/v1/models": "models", "/tokenize": "tokenize", "/v1/completions": self.completion}
        found = kept(names[request.path])
        return as_json(found["answer"], found["status"])


@pytest.fixture
def server() -> Iterator[Recording]:
    with Recording() as server:
        yield server


@asynccontextmanager
async def opened(server: Recording) -> AsyncIterator[VllmScorer]:
    client = ServerClient(server.url)
    try:
        served = await served_model(client, None)
        tokenizer = await asyncio.to_thread(ServerTokenizer, client, served.model)
        yield VllmScorer(client, served, tokenizer, 100_000)
    finally:
        await client.aclose()


def sent() -> list[list[int]]:
    prompts: list[list[int]] = kept("completions")["request"]["prompt"]
    return prompts


def requests() -> list[ScoreRequest]:
    """Both prompts that were sent, scored from the second token on."""
    return [ScoreRequest(np.array(ids, np.int32), (np.arange(1, len(ids)),)) for ids in sent()]


def test_the_model_is_listed(server: Recording) -> None:
    async def look() -> None:
        async with opened(server) as scorer:
            assert scorer.model == "smol"
            assert scorer.served.context_length == 8192
            assert scorer.served.root == "/models/SmolLM2-135M-Instruct"

    asyncio.run(look())


def test_every_token_of_every_prompt_gets_its_own_number(server: Recording) -> None:
    async def look() -> None:
        async with opened(server) as scorer:
            answers = await scorer.ask(requests())
        choices = kept("completions")["answer"]["choices"]
        for answer, ids, choice in zip(answers, sent(), choices, strict=True):
            rows = choice["prompt_logprobs"]
            expected = [row[str(token)]["logprob"] for row, token in zip(rows[1:], ids[1:], strict=True)]
            assert answer.spans[0].tolist() == np.array(expected, np.float32).tolist()

    asyncio.run(look())


def test_it_was_asked_as_the_scorer_asks(server: Recording) -> None:
    async def look() -> None:
        async with opened(server) as scorer:
            await scorer.ask(requests())

    asyncio.run(look())
    assert server.scored[0].body == kept("completions")["request"]


def test_the_text_of_a_conversation_is_put_together_from_its_tokens(server: Recording) -> None:
    async def look() -> None:
        async with opened(server) as scorer:
            messages = kept("tokenize")["request"]["messages"]
            text = await asyncio.to_thread(scorer.tokenizer.render, messages)
        assert text == "".join(
            f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages
        )
        assert server.requests[-1].body == kept("tokenize")["request"]

    asyncio.run(look())


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("unknown_model", 404, "answered 404: The model `other` does not exist"),
        ("too_long", 400, "answered 400: This model's maximum context length is 8192 tokens. However, your"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(
    server: Recording, name: str, status: int, sentence: str
) -> None:
    server.completion = name

    async def look() -> None:
        async with opened(server) as scorer:
            with pytest.raises(ServerError) as refused:
                await scorer.ask(requests())
        assert str(refused.value).startswith(f"{scorer.client.label} {sentence}")
        assert (refused.value.status, refused.value.final) == (status, True)

    asyncio.run(look())
