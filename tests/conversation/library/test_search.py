"""Full-text search: what is found, whatever the case and however JSON writes it."""

import io
import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.conversation.library import search as module
from memscope.conversation.library.listed import Listed
from memscope.conversation.library.search import Needle, search
from tests.conversation.library.conftest import Machine, chat, lines, talk

NEVER = threading.Event()


def holds(needle: str, text: str, *, ascii_only: bool = True) -> bool:
    """Whether a text is found in a log that says another one."""
    data = json.dumps({"role": "user", "content": text}, ensure_ascii=ascii_only).encode("utf-8", "replace")
    return Needle(needle).in_file(io.BytesIO(data), NEVER)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    ("needle", "text"),
    [
        ("flaky test", "Fix the FLAKY Test"),
        ("ÉCOLE", "une école"),
        ("école", "UNE ÉCOLE"),
        ('say "hi"', 'Please say "hi" now'),
        ("a\\b", "the path a\\b"),
        ("two  lines", "in two\n\t lines"),
        ("日本", "in 日本 now"),
        ("👩‍🚀", "an 👩‍🚀!"),
        ("straße", "Die Straße"),
        ("a.b*c", "a.b*c"),
        ("back\bspace", "a back\bspace"),
    ],
)
def test_a_text_is_found_whatever_the_case_escapes_and_white_space(
    needle: str, text: str, ascii_only: bool
) -> None:
    assert holds(needle, text, ascii_only=ascii_only)


@pytest.mark.parametrize("text", ["a.b", "ab", "a  c", "zzz"])
def test_another_text_is_not_found(text: str) -> None:
    assert not holds("a.c", text)


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.booleans(), st.data())
def test_every_part_of_a_text_is_found(text: str, ascii_only: bool, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    part = text[start : data.draw(st.integers(start, len(text)))]
    # white space that JSON has no short escape for is no white space in the file
    if " ".join(part.split(" ")) == " ".join(part.split()) and part.strip():
        assert holds(part, text, ascii_only=ascii_only)


def test_a_text_that_lies_on_the_edge_of_two_portions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PORTION", 1024)
    for before in range(1000, 1030):
        assert holds("needle in hay", "x" * before + "Needle in\nhay" + "y" * 3000)


def test_sessions_come_in_their_order_as_they_are_found(machine: Machine) -> None:
    for number, text in enumerate(("Oslo", "Bergen", "oslo")):
        machine.claude(f"{number}.jsonl", talk("Where?", text), age=number)
    found = search("OSLO", machine.scan(), NEVER)
    assert Path(next(found).path).stem == "0"
    assert [Path(listed.path).stem for listed in found] == ["2"]


def test_title_folder_agent_and_path_are_searched_as_well() -> None:
    listed = Listed("/nowhere/a.jsonl", title="Fix it", folder="/work/app", agent="Codex")
    for text in ("fix IT", "work/APP", "codex", "nowhere"):
        assert list(search(text, [listed], NEVER)) == [listed]
    assert list(search("other", [listed], NEVER)) == []


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_text_finds_everything(text: str) -> None:
    listed = Listed("/nowhere/a.jsonl")
    assert list(search(text, [listed], NEVER)) == [listed]


def test_it_stops_when_told(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", chat("Oslo"))
    stop = threading.Event()
    stop.set()
    assert list(search("oslo", [Listed(str(path))], stop)) == []
    with path.open("rb") as file:
        assert not Needle("oslo").in_file(file, stop)


def test_a_very_long_text_is_looked_for_by_its_beginning() -> None:
    assert holds("word " * 1000, "word " * 100)
