"""The tokenizer and chat template of a model folder."""

import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
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

_STRETCH = 500_000
"""Characters tokenized at a time: the library needs about a kilobyte for each token."""
_STEPS = 5_000_000
"""Loop steps and calls after which a template is taken to run without end."""
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
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
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            self._anchored = Anchored(self._encode)
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"{path} is not a tokenizer this version can read: {error}.") from error
        self._source, self._special = _chat_template(folder)
        self._sandbox = _Sandbox()
        self._template = _compile(self._source, self._sandbox, folder)

    @property
    def takes_tool_calls(self) -> bool:
        """Whether the chat template renders `tool_calls` itself."""
        return "tool_calls" in self._source

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        """Render chat messages to the text of a prompt.

        Raises TemplateRefusedError if the template does not take these messages.
        """
        self._sandbox.steps = 0
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special,
            )
        except Exception as error:  # a template is code: it can raise anything
            raise TemplateRefusedError(str(error) or type(error).__name__) from error

    def encode(self, text: str) -> Encoded:
        """Tokenize `text`; special tokens written in it count as such, none are added."""
        if len(text) <= _STRETCH:
            return self._anchored.encode(text)
        ids, ends, start = [], [], 0
        while start < len(text):
            stop = _cut(text, start)
            stretch = self._anchored.encode(text[start:stop])
            ids += stretch.ids
            ends += [start + end for end in stretch.ends]
            start = stop
        return Encoded(ids, ends)

    def _encode(self, text: str) -> Encoded:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ends = list(accumulate((end for _, end in encoding.offsets), max))
        if ends:
            ends[-1] = len(text)  # what the tokenizer drops at the end belongs to its last token
        return Encoded(encoding.ids, ends)


class Anchored:
    """Tokenizes with `encode` as in the middle of a prompt.

    SentencePiece-style tokenizers put a space before whatever text they are given, though a content in the
    middle of a prompt has none: such text is encoded after a line break, which is then dropped.
    """

    def __init__(self, encode: Callable[[str], Encoded]) -> None:
        self._encode = encode
        self._anchor = "\n" if encode("a").ids != encode("\na").ids[-1:] else ""

    def encode(self, text: str) -> Encoded:
        """Token ids of `text` and the offsets of their ends in it."""
        if not self._anchor:
            return self._encode(text)
        anchored = self._encode(self._anchor + text)
        first = next((i for i, end in enumerate(anchored.ends) if end > len(self._anchor)), len(anchored.ids))
        return Encoded(anchored.ids[first:], [end - len(self._anchor) for end in anchored.ends[first:]])


def _cut(text: str, start: int) -> int:
    """Where the stretch from `start` ends: between a word and the space after it, where no token crosses."""
    limit = start + _STRETCH
    if limit >= len(text):
        return len(text)
    words = re.compile(r"\w(?= )").finditer(text, limit - 1000, limit)
    return max((word.end() for word in words), default=limit)


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Runs a stranger's template, and stops it when it takes too many `steps`."""

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        self.steps = 0

    def count(self) -> None:
        self.steps += 1
        if self.steps > _STEPS:
            raise jinja2.TemplateError("it seems to run without end")

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.count()
            yield item

    def call(self, context: Any, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.count()
        return super().call(context, called, *args, **kwargs)


class _Generation(jinja2.ext.Extension):
    """The `{% generation %}` block that training templates put around responses; it renders its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _compile(source: str, environment: _Sandbox, folder: Path) -> jinja2.Template:
    """Compile a chat template with the names and filters that the Hugging Face libraries give it."""
    environment.filters["tojson"] = _to_json
    environment.filters["counted"] = environment.counted
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    try:
        tree = environment.parse(source)
        for loop in tree.find_all(jinja2.nodes.For):
            loop.iter = jinja2.nodes.Filter(loop.iter, "counted", [], [], None, None, environment=environment)
        return environment.from_string(tree)
    except Exception as error:  # besides jinja's own errors those of Python, which it compiles to
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
    template_path = folder / "chat_template.jinja"
    template = None
    try:
        if path.is_file():
            config = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if template_path.is_file():
            path = template_path
            template = path.read_text("utf-8")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} can't be read: {error}.") from error
    special = {name: _token_text(config.get(name)) for name in _SPECIAL}
    return template or _configured_template(config.get("chat_template")) or PLAIN_TEMPLATE, special


def _token_text(token: Any) -> str:
    """A special token stands as text, or as an object with its text as `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _configured_template(templates: Any) -> str | None:
    """The configuration holds one template, or several by name."""
    if isinstance(templates, list):
        named = (item for item in templates if isinstance(item, dict) and item.get("name") == "default")
        templates = next(named, {}).get("template")
    elif isinstance(templates, dict):
        templates = templates.get("default")
    return templates if isinstance(templates, str) else None
