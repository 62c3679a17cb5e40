"""The tokenizer and chat template of a model folder, which strangers wrote."""

import datetime
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import ModelError
from memscope.scorers import tokenizer as tokenizer_module
from memscope.scorers.base import TemplateRefusedError
from memscope.scorers.tokenizer import PLAIN_TEMPLATE, FolderTokenizer
from tests.model_folder import CHATML, LLAMA3, byte_level, open_folder, sentence_piece, write_folder

HELLO = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def bytes_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FolderTokenizer:
    return open_folder(tmp_path_factory.mktemp("byte-level"), CHATML)


@pytest.fixture(scope="module")
def sentence_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FolderTokenizer:
    return open_folder(tmp_path_factory.mktemp("sentence-piece"), CHATML, tokenizer=sentence_piece())


def render(folder: Path, template: Any, messages: Any = HELLO, **config: Any) -> str:
    return open_folder(folder, template, **config).render(messages)


def test_a_template_renders_messages(tmp_path: Path) -> None:
    rendered = render(tmp_path, CHATML, [{"role": "system", "content": "Be brief."}, *HELLO])

    assert rendered == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"


def test_a_template_can_open_the_next_turn(tmp_path: Path) -> None:
    rendered = open_folder(tmp_path, CHATML).render(HELLO, add_generation_prompt=True)

    assert rendered.endswith("Hi<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_may_ask_for_the_date(tmp_path: Path) -> None:
    assert f"{datetime.datetime.now():%d %b %Y}" in render(tmp_path, LLAMA3)


@pytest.mark.parametrize("tool_calls", [True, False])
def test_a_template_that_names_tool_calls_takes_them(tmp_path: Path, tool_calls: bool) -> None:
    assert open_folder(tmp_path, LLAMA3 if tool_calls else CHATML).takes_tool_calls is tool_calls


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{{ messages[0].content | tojson }}", '"é<>&\'"'),
        ("{{ {'b': 1, 'a': [2]} | tojson }}", '{"b": 1, "a": [2]}'),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{% if tools is none and documents is none %}none{% endif %}", "none"),
        ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "1"),
        ("{% for i in [1, 2, 3] %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "1,2,3"),
        ("{% for i in [1, 2] %}{{ loop.length }}{{ loop.revindex }}{% endfor %}", "2221"),
        ("{% for i in nothing %}{% else %}none{% endfor %}", "none"),
        ("{% for k, v in {'a': 1} | items %}{{ k }}{{ v }}{% endfor %}", "a1"),
        ("{% for i in [[1], [2]] recursive %}{{ i if i is number else loop(i) }}{% endfor %}", "12"),
        ("{% generation %}{{ messages[0].role }}{% endgeneration %}", "user"),
        ("{% if true %}\nx\n{% endif %}", "x\n"),
        ("{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token }}", "<s></s>"),
    ],
)
def test_templates_find_what_the_hugging_face_libraries_give_them(
    tmp_path: Path, template: str, rendered: str
) -> None:
    assert render(tmp_path, template, [{"role": "user", "content": "é<>&'"}]) == rendered


@pytest.mark.parametrize(
    "template",
    [
        [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}],
        {"tool_use": "no", "default": "yes"},
    ],
)
def test_of_several_templates_the_default_one_counts(tmp_path: Path, template: Any) -> None:
    assert render(tmp_path, template) == "yes"


def test_a_template_file_goes_before_the_configuration(tmp_path: Path) -> None:
    write_folder(tmp_path, "from the configuration")
    (tmp_path / "chat_template.jinja").write_text("from the file é", "utf-8")

    assert FolderTokenizer(tmp_path).render(HELLO) == "from the file é"


@pytest.mark.parametrize("template", [None, "", [], {}, [5, {"name": {}}], {"default": 5}, 7])
def test_a_model_without_a_template_gets_a_plain_one(tmp_path: Path, template: Any) -> None:
    assert render(tmp_path, template) == render(tmp_path, PLAIN_TEMPLATE) == "user: Hi\n\n"


@pytest.mark.parametrize(
    ("token", "text"),
    [("<s>", "<s>"), ({"content": "<s>", "lstrip": False}, "<s>"), (None, ""), ({}, ""), (5, "")],
)
def test_special_tokens_are_text_or_objects(tmp_path: Path, token: Any, text: str) -> None:
    assert render(tmp_path, "{{ bos_token }}", bos_token=token) == text


ENDLESS = "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n }}{% endmacro %}{{ f(60) }}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('No system role') }}", "No system role"),
        ("{{ messages[0].content.missing.deeper }}", "has no attribute 'missing'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "is unsafe"),
        ("{{ raise_exception.__globals__.os }}", "is unsafe"),
        ("{{ messages.append(1) }}", "is unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
        (ENDLESS, "it seems to run without end"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "it seems to run"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_a_template_that_fails_or_escapes_refuses_with_its_reason(
    tmp_path: Path, template: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_module, "_STEPS", 10_000)
    tokenizer = open_folder(tmp_path, template)

    for _ in range(2):
        with pytest.raises(TemplateRefusedError) as caught:
            tokenizer.render(HELLO)
        assert reason in str(caught.value)


def test_each_rendering_has_all_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_module, "_STEPS", 100)
    tokenizer = open_folder(tmp_path, "{% for i in range(90) %}{% endfor %}done")

    assert [tokenizer.render(HELLO) for _ in range(3)] == ["done"] * 3


@pytest.mark.parametrize("template", ["{% for %}", "{{ 'x' | nothing }}", "{% endif %}", "{% if x %}" * 200])
def test_a_template_that_does_not_compile_is_one_sentence(tmp_path: Path, template: str) -> None:
    with pytest.raises(ModelError, match=r"^The chat template of .* does not compile: .*\.$"):
        open_folder(tmp_path, template)


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no tokenizer\.json; give a complete model folder"):
        FolderTokenizer(tmp_path)


@pytest.mark.parametrize("data", ["", "{", "[]", "{}", '{"model": {"type": "Nothing"}}', byte_level()[:-50]])
def test_a_damaged_tokenizer_is_one_sentence(tmp_path: Path, data: str) -> None:
    write_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text(data)

    with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer this version can read: "):
        FolderTokenizer(tmp_path)


def test_a_tokenizer_that_lacks_what_any_text_needs_is_refused(tmp_path: Path) -> None:
    settings = json.loads(byte_level())
    settings["model"] = {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "[UNK]"}
    write_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))

    with pytest.raises(ModelError, match=r"is not a tokenizer this version can read"):
        FolderTokenizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.jinja"])
@pytest.mark.parametrize("data", [b"\xff{", b"[" * 100_000 + b"\xff"])
def test_a_damaged_configuration_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    write_folder(tmp_path)
    (tmp_path / name).write_bytes(data)

    with pytest.raises(ModelError, match=rf"{name} can't be read: "):
        FolderTokenizer(tmp_path)


@pytest.mark.parametrize("data", [b"", b"[1]", b'"x"', b"[" * 100_000])
def test_a_configuration_that_is_no_object_is_named(tmp_path: Path, data: bytes) -> None:
    write_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(data)

    with pytest.raises(ModelError, match=r"tokenizer_config\.json can't be read: "):
        FolderTokenizer(tmp_path)


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aLn \n👩é"), max_size=40)


@given(text=texts)
def test_tokens_end_where_their_text_ends(
    bytes_tokenizer: FolderTokenizer, sentence_tokenizer: FolderTokenizer, text: str
) -> None:
    for tokenizer in (bytes_tokenizer, sentence_tokenizer):
        encoded = tokenizer.encode(text)

        assert len(encoded.ids) == len(encoded.ends)
        assert all(before <= after for before, after in itertools.pairwise([0, *encoded.ends]))
        assert encoded.ends[-1:] == ([len(text)] if text else [])


@given(pieces=st.lists(st.text("aLn ", max_size=9).map("a{}".format), max_size=5))
def test_a_sentence_piece_text_is_the_same_alone_and_after_a_line_break(
    sentence_tokenizer: FolderTokenizer, pieces: list[str]
) -> None:
    apart = [id_ for text in pieces for id_ in sentence_tokenizer.encode("\n" + text).ids]

    assert sentence_tokenizer.encode("".join("\n" + text for text in pieces)).ids == apart


def test_a_content_gets_no_space_that_it_does_not_have(sentence_tokenizer: FolderTokenizer) -> None:
    assert sentence_tokenizer.encode("ab").ids != sentence_tokenizer.encode(" ab").ids
    assert len(sentence_tokenizer.encode("ab").ids) == 2
    assert sentence_tokenizer.encode("").ids == []


def test_special_tokens_written_in_a_text_count_as_such_and_none_are_added(
    bytes_tokenizer: FolderTokenizer,
) -> None:
    encoded = bytes_tokenizer.encode("<|im_start|>a<|im_end|>")

    assert (encoded.ids[0], encoded.ids[-1], encoded.ends) == (1, 2, [12, 13, 23])


@pytest.mark.parametrize("made_of", ["words", "signs"])
def test_a_long_text_is_tokenized_in_stretches_like_one(
    bytes_tokenizer: FolderTokenizer, monkeypatch: pytest.MonkeyPatch, made_of: str
) -> None:
    text = "Ana lives in Lyon,  and 2 more.\n\n " * 300 if made_of == "words" else "漢字" * 3000
    whole = bytes_tokenizer.encode(text)
    monkeypatch.setattr(tokenizer_module, "_STRETCH", 1200)

    assert bytes_tokenizer.encode(text) == whole


def test_truncation_and_padding_of_the_tokenizer_are_off(tmp_path: Path) -> None:
    settings = json.loads(byte_level())
    settings["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    settings["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    tokenizer = open_folder(tmp_path, CHATML, tokenizer=json.dumps(settings))

    assert tokenizer.encode("Ana\nAna").ends == [1, 3, 4, 5, 7]
