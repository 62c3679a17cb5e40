"""The table of `memscope score`: what it says, and lines that fit."""

import re
from pathlib import Path

import numpy as np
import pytest
import stamina

from memscope.report import report
from memscope.scoring.session import Session
from memscope.text import cells
from tests.scorers_fake import TALK, HashScorer, conversation, failing, prepared, scored

TALKED = conversation(*TALK)
WIDTHS = pytest.mark.parametrize("width", [60, 80, 120, 200])


def section(text: str, title: str) -> list[str]:
    """The lines under a title."""
    lines = text.splitlines()
    start = lines.index(title) + 1
    return lines[start : lines.index("", start) if "" in lines[start:] else None]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return scored(TALKED, tmp_path)


def test_it_names_the_conversation_the_model_and_the_metric(session: Session) -> None:
    assert report(session, 120).splitlines()[0] == (
        "talk · 2 memories x 3 responses · hash fake · signed divergence in nats"
    )


def test_memories_stand_by_weight_with_their_strongest_responses(session: Session) -> None:
    lines = section(report(session, 120), "Memories by weight")
    weights = session.matrix.weights(session.metric)
    assert [line.split()[0] for line in lines] == [session.matrix.keys[m] for m in np.argsort(-weights)]
    for line in lines:
        memory = session.matrix.keys.index(line.split()[0])
        assert f"{weights[memory]:.2f}" in line
        row = session.matrix.values(session.metric)[memory]
        strongest = int(np.nanargmax(np.abs(row)))
        found = re.findall(r"r(\d+) ([+-][\d.]+)", line)
        assert found[0] == (str(strongest + 1), f"{row[strongest]:+.2f}")


def test_responses_stand_by_dependence_with_how_they_begin(session: Session) -> None:
    lines = section(report(session, 120), "Responses by dependence on memory")
    dependence = session.matrix.dependence(session.metric)
    order = [int(r) for r in np.argsort(-dependence)]
    assert [line.split()[0] for line in lines] == [f"r{r + 1}" for r in order]
    for line, r in zip(lines, order, strict=True):
        entry = session.matrix.responses[r]
        assert f"entry {entry} " in line
        assert f"{dependence[r]:.2f}" in line
        assert line.endswith(TALK[entry][1])


def test_the_strongest_cells_are_the_largest_in_size(session: Session) -> None:
    lines = section(report(session, 120), "Strongest cells")
    values = session.matrix.values(session.metric)
    sizes = sorted(np.abs(values[~np.isnan(values)]).tolist(), reverse=True)
    shown = [float(re.findall(r"[+-][\d.]+", line)[0]) for line in lines]
    assert [abs(value) for value in shown] == pytest.approx(sizes, abs=0.006)


def test_the_longest_bar_is_full_and_a_negative_one_hollow(session: Session) -> None:
    text = report(session, 120)
    assert "▇" * 12 in text or "▒" * 12 in text
    for line in section(text, "Responses by dependence on memory"):
        assert ("▒" in line) == (re.findall(r" (-?[\d.]+)  ", line)[-1].startswith("-"))


@WIDTHS
def test_no_line_is_wider_than_asked(tmp_path: Path, width: int) -> None:
    long = "projects/2026/" + "deeply/nested/" * 9 + "ключ"
    talk = conversation(
        ("東京タワー/見学の予定とメモ", "東京タワーへ行く。"),
        ("🗼👩\u200d💻/emoji", "🗼 is a tower."),
        (long, "A long key."),
        ("user", "What now?"),
        ("assistant", "東京タワーへ行きましょう 🗼 " * 12),
        title="題" * 90,
    )
    with stamina.set_testing(True, attempts=1):
        session = scored(talk, tmp_path, HashScorer(answer=failing(3, reason="a long reason " * 20)))
    lines = report(session, width).splitlines()
    assert max(map(cells, lines)) <= width
    assert not any(line.endswith(" ") for line in lines)
    keys = [line for line in section("\n".join(lines), "Memories by weight") if line.strip()]
    assert len({cells(re.split(r"  (?=r1 |1 cell)", line)[0]) for line in keys}) == 1


def test_a_failed_row_has_no_number_and_its_reason_is_told_in_full(tmp_path: Path) -> None:
    reason = "the server at the other end of a very long line fell over and did not get up again"
    with stamina.set_testing(True, attempts=1):
        session = scored(TALKED, tmp_path, HashScorer(answer=failing(2, reason=reason)))
    text = report(session, 80)
    row = section(text, "Memories by weight")[-1]
    assert row.split() == ["home", "-", "3", "cells", "failed"]
    assert " ".join(" ".join(section(text, "Failed")).split()) == f"home: {reason}"
    assert " home" not in "".join(section(text, "Strongest cells"))


def test_rows_that_failed_alike_share_their_reason(tmp_path: Path) -> None:
    with stamina.set_testing(True, attempts=1):
        session = scored(TALKED, tmp_path, HashScorer(answer=failing(1)))
    assert section(report(session, 120), "Failed") == [
        "  home, diet: the baseline failed: the server fell over"
    ]


def test_what_is_not_scored_says_why(tmp_path: Path) -> None:
    talk = conversation(*TALK, ("late", "It rains."))
    lines = section(report(prepared(talk, tmp_path), 120), "Memories by weight")
    assert [line.split(maxsplit=2) for line in lines] == [
        ["home", "-", "not scored"],
        ["diet", "-", "not scored"],
        ["late", "-", "no response can see it"],
    ]


def test_one_memory_and_one_response_read_well(tmp_path: Path) -> None:
    talk = conversation(("city", "Nora lives in Bergen."), ("user", "Where?"), ("assistant", "In Bergen."))
    session = scored(talk, tmp_path)
    value = session.matrix.values(session.metric)[0, 0]
    bar = ("▇" if value > 0 else "▒") * 12
    assert report(session, 80).splitlines() == [
        "talk · 1 memories x 1 responses · hash fake · signed divergence in nats",
        "",
        "Memories by weight",
        f"  city {bar} {value:8.2f}  r1 {value:+.2f}",
        "",
        "Responses by dependence on memory",
        f"  r1    entry 2     {bar} {value:8.2f}  In Bergen.",
        "",
        "Strongest cells",
        f"  r1    entry 2     {value:+8.2f}  city",
    ]


@pytest.mark.parametrize(
    "messages",
    [[("user", "Hello"), ("assistant", "Hello.")], [("fact", "It rains."), ("user", "Hello")]],
)
def test_a_matrix_without_rows_or_columns_is_reported_too(
    tmp_path: Path, messages: list[tuple[str, str]]
) -> None:
    assert "Strongest cells" in report(prepared(conversation(*messages), tmp_path), 80)


def test_nothing_a_terminal_obeys_comes_through(tmp_path: Path) -> None:
    nasty = "\x1b]0;owned\x07\x9b31m[/red]\r\u202e"
    talk = conversation((nasty, nasty), ("user", nasty), ("assistant", nasty), title=nasty)
    with stamina.set_testing(True, attempts=1):
        session = scored(talk, tmp_path, HashScorer(answer=failing(2, reason=nasty)))
    text = report(session, 200)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "[/red]" in text


def test_notes_stand_at_the_end_and_are_wrapped(tmp_path: Path) -> None:
    turns = [(role, f"{role} {n} says this.") for n in range(6) for role in ("fact", "user", "assistant")]
    session = prepared(conversation(*turns), tmp_path, HashScorer(context_length=70))
    lines = report(session, 60).splitlines()
    (note,) = session.notes
    assert " ".join(lines[lines.index("") :]).endswith(note)
