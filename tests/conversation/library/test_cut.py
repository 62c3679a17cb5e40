"""JSON that was cut off is made whole as far as it goes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.library.cut import completed

texts = st.text(max_size=8) | st.sampled_from(['"', "\\", "\\u12", "{[,:", "👩‍🚀é", "\\ud83d\\"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)
documents = st.lists(values, max_size=4) | st.dictionaries(texts, values, max_size=4)


def begins(whole: Any, part: Any) -> bool:
    """Whether a value is another one's beginning."""
    if isinstance(whole, list) and isinstance(part, list):
        return len(part) <= len(whole) and all(map(begins, whole, part))
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and begins(whole[key], value) for key, value in part.items())
    if isinstance(whole, str) and isinstance(part, str):
        return whole.startswith(part)
    return bool(whole == part)


@given(documents, st.booleans(), st.sampled_from([None, 1]), st.data())
def test_any_beginning_is_the_beginning_of_the_document(
    document: Any, ascii_only: bool, indent: int | None, data: st.DataObject
) -> None:
    whole = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    part = completed(whole[: data.draw(st.integers(1, len(whole)))])
    assert begins(json.loads(whole), msgspec.json.decode(part))


@given(documents)
def test_a_whole_document_stays_as_it_is(document: Any) -> None:
    assert completed(json.dumps(document).encode()) == json.dumps(document).encode()


@given(st.binary(max_size=60))
def test_what_is_no_json_is_survived(data: bytes) -> None:
    completed(data)


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        (b'{"a": 1, "b', b'{"a": 1}'),
        (b'{"a": 1, "b": "tex', b'{"a": 1, "b": "tex"}'),
        (b'{"a": [12, 34', b'{"a": [12]}'),
        (b'{"a": tru', b"{}"),
        (b'["\\ud83d\\ude', b'[""]'),
        (b'["caf\xc3', b'["caf"]'),
    ],
)
def test_half_a_text_is_kept_and_half_of_anything_else_is_not(cut: bytes, whole: bytes) -> None:
    assert completed(cut) == whole
