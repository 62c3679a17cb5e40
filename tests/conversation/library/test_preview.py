"""The first and last entries of a session, from the ends of its file."""

import json
from pathlib import Path

import pytest

from memscope.conversation.library import Listed, Preview
from memscope.conversation.library.preview import preview
from memscope.errors import InputError
from tests.conversation.library.conftest import chat, lines, long_talk, talk


def texts(found: Preview) -> tuple[list[str], list[str], bool]:
    """What the entries say."""
    return [each.text for each in found.first], [each.text for each in found.last], found.more


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("1",), (["1"], [], False)),
        (("1", "2", "3"), (["1", "2"], ["3"], False)),
        (("1", "2", "3", "4"), (["1", "2"], ["3", "4"], False)),
        (("1", "2", "3", "4", "5"), (["1", "2"], ["4", "5"], True)),
    ],
)
def test_no_entry_of_a_short_session_is_shown_twice(
    tmp_path: Path, said: tuple[str, ...], expected: tuple[list[str], list[str], bool]
) -> None:
    path = lines(tmp_path / "a.jsonl", chat(*said))
    assert texts(preview(Listed(str(path)), 2)) == expected


def test_of_a_long_session_the_ends_are_shown(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", long_talk("Hi", "Bye"))
    found = preview(Listed(str(path)), 2)
    assert texts(found) == (["Hi", "x" * 1000], ["x" * 1000, "Bye"], True)


def test_of_a_long_document_the_beginning_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(chat("Hi", "Hello", "x" * 300_000)))
    assert texts(preview(Listed(str(path)), 2)) == (["Hi", "Hello"], [], True)


@pytest.mark.parametrize("content", ["", "{}", "no", '{"a": ' * 50_000])
def test_what_is_no_session_says_why(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=r"^a\.jsonl"):
        preview(Listed(str(path)), 2)


def test_what_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a\.jsonl: No such file or directory; choose another session\.$"):
        preview(Listed(str(tmp_path / "a.jsonl")), 2)


def test_it_does_not_matter_which_record_comes_first(tmp_path: Path) -> None:
    records = [{"type": "summary", "summary": "A title"}, *talk("Hi", "Hello")]
    path = lines(tmp_path / "a.jsonl", records)
    assert texts(preview(Listed(str(path)), 1)) == (["Hi"], ["Hello"], False)
