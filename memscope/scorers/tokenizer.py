"""The tokenizer and chat template of a model folder."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import msgspec
from tokenizers import Tokenizer

from memscope.errors import ModelError
from memscope.scorers.base import Encoded, TemplateRefusedError

PLAIN_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n\n{% endfor %}"
"""For a model that has no chat template of its own."""


class FolderTokenizer:
    """`tokenizer.json` and the chat template of a model folder in the Hugging Face layout."""

    def __init__(self, folder: Path) -> None:
        """Raises ModelError if the tokenizer or its chat template can't be read."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{folder} has no tokenizer.json; give a complete model folder.")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"{path} is not a tokenizer this version can read: {error}.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._source, self._special = _chat_template(folder)
        self._template = _compile(self._source, folder)
        # SentencePiece-style tokenizers put a space before whatever text they are given, though a content
        # in the middle of a prompt has none: such text is encoded after a line break that is then dropped.
        self._anchor = "\n" if self._encode("a").ids != self._encode("\na").ids[-1:] else ""

    @property
    def takes_tool_calls(self) -> bool:
        """Whether the chat template renders `tool_calls` itself."""
        return "tool_calls" in self._source

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        """Render chat messages to the text of a prompt.

        Raises TemplateRefusedError if the template does not take these messages.
        """
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=add_generation_prompt, **self._special
            )
        except Exception as error:  # a template is code: it can raise anything
            raise TemplateRefusedError(str(error) or type(error).__name__) from error

    def encode(self, text: str) -> Encoded:
        """Tokenize `text`; special tokens written in it count as such, none are added."""
        if not self._anchor:
            return self._encode(text)
        anchored = self._encode(self._anchor + text)
        first = next((i for i, end in enumerate(anchored.ends) if end > len(self._anchor)), len(anchored.ids))
        return Encoded(anchored.ids[first:], [end - len(self._anchor) for end in anchored.ends[first:]])

    def _encode(self, text: str) -> Encoded:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ends, furthest = [], 0
        for _, end in encoding.offsets:
            furthest = max(furthest, end)
            ends.append(furthest)
        return Encoded(encoding.ids, ends)


class _Generation(jinja2.ext.Extension):
    """The `{% generation %}` block that training templates put around responses; it renders its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _compile(source: str, folder: Path) -> jinja2.Template:
    """Compile a chat template with the names and filters that the Hugging Face libraries give it."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise ModelError(f"The chat template of {folder} does not compile: {error}.") from error


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, **_: Any
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators)


def _chat_template(folder: Path) -> tuple[str, dict[str, str]]:
    """The template's source and the special tokens it may name."""
    config: dict[str, Any] = {}
    path = folder / "tokenizer_config.json"
    if path.is_file():
        try:
            config = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError) as error:
            raise ModelError(f"{path} can't be read: {error}.") from error
    special = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        value = config.get(name)
        special[name] = str(value["content"] if isinstance(value, dict) else value or "")
    template_path = folder / "chat_template.jinja"
    if template_path.is_file():
        try:
            return template_path.read_text("utf-8"), special
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{template_path} can't be read: {error}.") from error
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {str(item.get("name")): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return (template if isinstance(template, str) else PLAIN_TEMPLATE), special
