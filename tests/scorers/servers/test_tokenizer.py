"""A server's `/tokenize` gives the same tokens, and where they end, as the model's own tokenizer here."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memscope.errors import ModelError
from memscope.prompt import build_prompt
from memscope.scorers.base import TemplateRefusedError
from memscope.scorers.probe import PROBE, chat_request
from memscope.scorers.servers.client import ServerClient, ServerError
from memscope.scorers.servers.tokenizer import ServerTokenizer
from memscope.scorers.tokenizer import FolderTokenizer
from tests import model_folder
from tests.scorers.embedded import tiny
from tests.scorers_fake import TALK, conversation
from tests.servers import faults
from tests.servers.exchange import Effect
from tests.servers.oracle import Oracle
from tests.servers.vllm import VllmServer

_PIECES = [
    "a",
    "b",
    " ",
    "  ",
    "\n",
    "\t",
    "Ana",
    "é",
    "日本",
    "👩\u200d👧",
    "▁",
    "Ġ",
    "<0x41>",
    "<|im_end|>",
]
_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
TEXTS = st.lists(st.sampled_from(_PIECES) | _ANY).map("".join)
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "sea"}}, "id": "a1"}
CALLING: list[dict[str, Any]] = [
    {"role": "user", "content": "Look."},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
]


@dataclass
class Both:
    """The same tokenizer on a server and here."""

    server: VllmServer
    there: ServerTokenizer
    here: FolderTokenizer


def both(folder: Path, template: str, tokenizer: str) -> Iterator[Both]:
    tiny.write_model(folder, vocab_size=500)
    oracle = Oracle(model_folder.write_folder(folder, template, tokenizer=tokenizer))
    with VllmServer(oracle) as server:
        client = ServerClient(server.url)
        yield Both(server, ServerTokenizer(client, "smol"), oracle.tokenizer)
        asyncio.run(client.aclose())


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    yield from both(tmp_path_factory.mktemp("b"), model_folder.QWEN3, model_folder.byte_level())


@pytest.fixture(scope="module")
def sentence_piece(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    yield from both(tmp_path_factory.mktemp("s"), model_folder.CHATML, model_folder.sentence_piece_first())


@given(text=TEXTS)
@example("")
@example(" ")
@example("<|im_start|>user\nZoë 👩‍👩‍👧 lives in 日本<|im_end|>\n")
@example("a\n\n\n b")
def test_byte_level_tokens_are_the_same(byte_level: Both, text: str) -> None:
    assert byte_level.there.encode(text) == byte_level.here.encode(text)


@given(text=TEXTS)
@example("")
@example(" ")
@example(" a  b ")
@example("<|im_start|>user\nZoë 👩‍👩‍👧 lives in 日本<|im_end|>\n")
def test_tokens_of_sentence_piece_are_the_same(sentence_piece: Both, text: str) -> None:
    assert sentence_piece.there.encode(text) == sentence_piece.here.encode(text)


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece"])
def test_a_conversation_is_put_together_in_the_same_way(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizers: Both = request.getfixturevalue(kind)
    there, here = (build_prompt(conversation(*TALK), one) for one in (tokenizers.there, tokenizers.here))
    assert there.ids.tolist() == here.ids.tolist()
    assert [span.tolist() for span in there.responses] == [span.tolist() for span in here.responses]
    assert there.differing == here.differing


@pytest.mark.parametrize("prompted", [False, True])
def test_a_rendering_is_the_templates_own(byte_level: Both, prompted: bool) -> None:
    for messages in (CALLING, [{"role": "user", "content": "Zoë\n<|im_end|>?"}]):
        there = byte_level.there.render(messages, add_generation_prompt=prompted)
        assert there == byte_level.here.render(messages, add_generation_prompt=prompted)


def test_whether_a_template_writes_tool_calls_is_tried_out(byte_level: Both, sentence_piece: Both) -> None:
    assert byte_level.there.takes_tool_calls
    assert not sentence_piece.there.takes_tool_calls


def test_a_tokenizer_that_writes_a_space_after_each_special_token_is_refused(tmp_path: Path) -> None:
    """What it gives back is not the template's text, so no place in it can be found."""
    for found in both(tmp_path / "always", model_folder.CHATML, model_folder.sentence_piece()):
        with pytest.raises(ModelError, match=r"don't add up to their text; give .* --tokenizer FOLDER\.$"):
            chat_request(found.there, PROBE)


def test_a_template_that_refuses_says_why(tmp_path: Path) -> None:
    for found in both(tmp_path / "g", model_folder.GEMMA, model_folder.byte_level()):
        with pytest.raises(TemplateRefusedError, match="System role not supported"):
            found.there.render([{"role": "system", "content": "x"}])


def answering(server: VllmServer, **fields: Any) -> None:
    """Let `/tokenize` answer with other fields."""

    def change(value: Any) -> None:
        value.update(fields)

    server.on(faults.reading("/tokenize"), faults.changed(change))


class TestServersThatDoNotTell:
    @pytest.fixture
    def server(self, oracle: Oracle) -> Iterator[VllmServer]:
        with VllmServer(oracle) as server:
            yield server

    @pytest.fixture
    def client(self, server: VllmServer) -> Iterator[ServerClient]:
        client = ServerClient(server.url)
        yield client
        asyncio.run(client.aclose())

    @pytest.mark.parametrize("texts", [None, ["a"]])
    def test_without_the_tokens_texts_it_is_no_tokenizer(
        self, server: VllmServer, client: ServerClient, texts: list[str] | None
    ) -> None:
        answering(server, token_strs=texts)
        with pytest.raises(ServerError, match="does not tell its tokens' texts"):
            ServerTokenizer(client, "smol")

    def test_tokens_that_do_not_add_up_to_their_text_are_refused(
        self, server: VllmServer, client: ServerClient
    ) -> None:
        tokenizer = ServerTokenizer(client, "smol")
        answering(server, tokens=[1, 2], token_strs=["a", "x"])
        sentence = r"^The tokens of smol on .* don't add up to their text; give .* with --tokenizer FOLDER\.$"
        with pytest.raises(ModelError, match=sentence):
            tokenizer.encode("a b")

    @pytest.mark.parametrize("effect", [faults.status(500), faults.closed, faults.not_json])
    def test_one_that_fails_is_one_sentence(
        self, server: VllmServer, client: ServerClient, effect: Effect
    ) -> None:
        tokenizer = ServerTokenizer(client, "smol")
        server.on(faults.reading("/tokenize"), effect)
        sentence = r"^127\.0\.0\.1:\d+ [^\n]*\.$"
        with pytest.raises(ModelError, match=sentence):
            tokenizer.encode("a")
        with pytest.raises(ModelError, match=sentence):
            tokenizer.render([{"role": "user", "content": "a"}])
