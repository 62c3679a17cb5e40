"""What a score can't know is said: a context that is not all in the file, and a model that only stands in."""

from dataclasses import replace
from pathlib import Path

import pytest

from memscope.conversation.model import Branch, Conversation
from memscope.documents import matrix_document
from memscope.scoring.session import Session
from tests.scorers_fake import TALK, HashScorer, conversation, scored


def talk(**source: object) -> Conversation:
    plain = conversation(*TALK)
    return replace(plain, source=replace(plain.source, **source))  # type: ignore[arg-type]


def test_what_the_file_does_not_hold_is_told(tmp_path: Path) -> None:
    session = scored(talk(missing="the system prompt"), tmp_path)
    assert "Reconstructed: the file does not hold the system prompt." in session.notes
    assert matrix_document(session).session.reconstructed == "the system prompt"


def test_a_native_log_is_not_reconstructed(tmp_path: Path) -> None:
    session = scored(talk(), tmp_path)
    assert matrix_document(session).session.reconstructed is None
    assert matrix_document(session).scorer.proxy_for is None
    assert session.notes == ()


def test_another_model_than_the_one_that_spoke_scores_by_proxy(tmp_path: Path) -> None:
    session = scored(talk(author="claude-sonnet-4-6"), tmp_path)
    assert matrix_document(session).scorer.proxy_for == "claude-sonnet-4-6"
    assert any(note.startswith("By proxy: claude-sonnet-4-6 spoke, and ") for note in session.notes)


@pytest.mark.parametrize("prefix", ["", "owner/", "/models/"])
def test_the_model_itself_is_no_proxy_whatever_stands_before_its_name(tmp_path: Path, prefix: str) -> None:
    session = scored(talk(author=f"{prefix}{HashScorer().model.upper()}"), tmp_path)
    assert session.proxy_for == ""


def test_before_a_scorer_is_open_nothing_is_said_of_a_proxy() -> None:
    assert Session(talk(author="claude-sonnet-4-6")).proxy_for == ""


def test_of_a_conversation_that_forks_the_branch_is_named(tmp_path: Path) -> None:
    branches = (Branch("a", "one", 3), Branch("b", "two", 10))
    session = scored(talk(branches=branches, branch="b"), tmp_path)
    assert matrix_document(session).session.branch == "b"
    assert any("has 2 branches; this is b" in note for note in session.notes)
