"""The tokenizer and chat template of the model that a server serves, as the server itself has them."""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from memscope.errors import ModelError
from memscope.scorers.base import Encoded, TemplateRefusedError
from memscope.scorers.servers.client import ServerClient, ServerError, decode
from memscope.scorers.tokenizer import Anchored

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "▁"


class _Tokens(msgspec.Struct):
    tokens: list[int]
    token_strs: list[str] | None = None


class ServerTokenizer:
    """Has vLLM's `/tokenize` render and tokenize; every method blocks for an answer."""

    def __init__(self, client: ServerClient, model: str) -> None:
        """Raises ServerError if the server does not tokenize, ModelError if its tokens can't be read."""
        self._client = client
        self._model = model
        words = self._ask({"prompt": "a b", "add_special_tokens": False}).token_strs or []
        self._sentencepiece = any(_SPACE in word for word in words)
        self._anchored = Anchored(self._encode)
        self._takes_tool_calls: bool | None = None

    @property
    def takes_tool_calls(self) -> bool:
        """Whether the chat template renders `tool_calls` itself."""
        if self._takes_tool_calls is None:
            call = {"type": "function", "function": {"name": "memscope_probe", "arguments": "{}"}, "id": "a1"}
            said = {"role": "assistant", "content": "", "tool_calls": [call]}
            try:
                rendered = self.render([{"role": "user", "content": "?"}, said])
            except TemplateRefusedError:
                rendered = ""
            self._takes_tool_calls = "memscope_probe" in rendered
        return self._takes_tool_calls

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        """Render chat messages to the text of a prompt.

        Raises TemplateRefusedError if the template does not take these messages, ModelError if the server
        does not answer.
        """
        question = {"messages": messages, "add_generation_prompt": add_generation_prompt}
        try:
            found = self._ask({**question, "add_special_tokens": False})
        except ServerError as error:
            if error.status is not None and 400 <= error.status < 500:
                raise TemplateRefusedError(str(error)) from error
            raise ModelError(f"{error}.") from error
        return b"".join(self._pieces(found)).decode("utf-8", "replace")

    def encode(self, text: str) -> Encoded:
        """Tokenize `text`; special tokens written in it count as such, none are added. Raises ModelError."""
        return self._anchored.encode(text)

    def _encode(self, text: str) -> Encoded:
        if not text:
            return Encoded([], [])
        try:
            found = self._ask({"prompt": text, "add_special_tokens": False})
        except ServerError as error:
            raise ModelError(f"{error}.") from error
        pieces = self._pieces(found)
        read = text.replace(_SPACE, " ") if self._sentencepiece else text  # to it they are one
        whole, given = b"".join(pieces), read.encode("utf-8", "replace")
        if whole == b" " + given:  # SentencePiece puts a space before whatever it is given
            pieces[0] = pieces[0].removeprefix(b" ")
        elif whole != given:
            raise ModelError(
                f"The tokens of {self._model} on {self._client.label} don't add up to their text; give the"
                " model's tokenizer with --tokenizer FOLDER."
            )
        return Encoded(found.tokens, _character_ends(given, pieces))

    def _pieces(self, found: _Tokens) -> list[bytes]:
        """The bytes that each token stands for, whichever way its tokenizer writes them."""
        spell = _sentencepiece if self._sentencepiece else _byte_level
        return [spell(token) for token in found.token_strs or []]

    def _ask(self, question: Mapping[str, Any]) -> _Tokens:
        body = {"model": self._model, "return_token_strs": True, **question}
        found = decode(self._client.ask_now("/tokenize", body), _Tokens, self._client.label)
        if found.token_strs is None or len(found.token_strs) != len(found.tokens):
            raise ServerError(f"{self._client.label} does not tell its tokens' texts", status=404)
        return found


def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet, in which byte-level tokenizers write bytes: printable ones stand for themselves, the
    others for characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(0x100 + at): byte for at, byte in enumerate(others)}


_ALPHABET = _byte_of_character()


def _byte_level(token: str) -> bytes:
    if all(character in _ALPHABET for character in token):
        return bytes(_ALPHABET[character] for character in token)
    return token.encode("utf-8", "replace")  # a special token, written as it is


def _sentencepiece(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes.fromhex(byte[1]) if byte else token.replace(_SPACE, " ").encode("utf-8", "replace")


def _character_ends(text: bytes, pieces: Sequence[bytes]) -> list[int]:
    """For each piece of UTF-8 the offset of the character after the one that it ends in."""
    characters = list(accumulate((byte & 0xC0 != 0x80 for byte in text), initial=0))
    return [characters[end] for end in accumulate(map(len, pieces))]
