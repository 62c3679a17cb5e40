"""The lines on a matrix's fidelity: what they say, and that they fit whatever stands in them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from memscope.report import fidelity_lines, report
from memscope.scoring.fidelity import Fidelity, TopK, measure_fidelity, plan_fidelity
from memscope.scoring.joint import Joint, Pair
from memscope.text import cells
from tests.scorers_fake import TALK, HashScorer, conversation, scored

NASTY = "\x1b]0;owned\x07\x1b[2J[/red]\u202e" + "東京/" * 40


def joint(together: float | None, apart: float | None, response: int | None = None) -> Joint:
    """Two memories left out together, with the least of noise."""
    between = None if together is None or apart is None else together - apart
    return Joint(response, None if response is None else 2 * response, together, apart, between, 0.0, True)


@pytest.fixture
def fidelity(tmp_path: Path) -> Fidelity:
    """The figures for a small talk."""
    session = scored(conversation(*TALK), tmp_path)

    async def measure() -> Fidelity:
        return await measure_fidelity(session, await plan_fidelity(session))

    return asyncio.run(measure())


def text_of(fidelity: Fidelity) -> str:
    return " ".join(line.strip() for line in fidelity_lines(fidelity, 80))


@pytest.mark.parametrize("width", [20, 60, 80, 120, 200])
def test_no_line_is_wider_than_asked_or_obeyed_by_a_terminal(fidelity: Fidelity, width: int) -> None:
    pair = Pair((NASTY, "home"), joint(9.0, 1.0), joint(5.0, 0.0, 6), 1, True)
    nasty = replace(
        fidelity,
        redundancy=replace(fidelity.redundancy, pairs=(pair,)),
        unscored=(NASTY,),
        failed=((NASTY, NASTY), ("mask 2", "it fell over")),
    )
    lines = fidelity_lines(nasty, width)
    assert max(map(cells, lines)) <= width
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_redundant_pairs_are_named_with_both_numbers_and_the_others_are_not(fidelity: Fidelity) -> None:
    redundant = Pair(("home", "city"), joint(9.0, 1.0), joint(5.0, 0.25, 6), 0, True)
    other = Pair(("diet", "pet"), joint(2.0, 2.0), None, 0, False)
    text = text_of(replace(fidelity, redundancy=replace(fidelity.redundancy, pairs=(redundant, other))))
    assert "Hide each other: home and city: +9.00, one by one +1.00; at r7 +5.00, one by one +0.25." in text
    assert "diet" not in text


def test_where_no_pair_is_redundant_it_says_how_many_were_tried(fidelity: Fidelity) -> None:
    other = Pair(("diet", "pet"), joint(2.0, 2.0), None, 0, False)
    text = text_of(replace(fidelity, redundancy=replace(fidelity.redundancy, pairs=(other,))))
    assert "None of 1 pair of memories tried hide each other." in text
    text = text_of(replace(fidelity, redundancy=replace(fidelity.redundancy, pairs=None)))
    assert "Pairs were not tried: the conversation changed meanwhile." in text


def test_what_is_missing_is_said_and_never_shown_as_nought(fidelity: Fidelity) -> None:
    lds = replace(fidelity.lds, mean=None, counted=0, missing=3, masks_missing=9)
    lacking = replace(fidelity.redundancy, total=joint(None, None), missing=3, responses=(), pairs=())
    top = (TopK(1, None, None, 0, 3, 3), TopK(3, 4.0, 1.0, 2, 1, 40))
    text = text_of(replace(fidelity, lds=lds, redundancy=lacking, top=top, unscored=("home",)))
    for part in (
        "LDS, predicted with actual log-probability: none; not counted:",
        "3 without a score; 9 of 32 masks lack a score.",
        "Drop without the strongest memory: none, for 3 lack a score.",
        "Drop without the 3 strongest: 4.00; 3 at random: 1.00 (the mean of 2 of 40 responses;",
        "responses; 1 lack a score).",
        "All memories left out: none (3 responses without a score).",
        "Not scored, so their responses are not counted: home.",
    ):
        assert part in text
    assert "0.00" not in text


def test_an_approximate_scorer_is_labelled(fidelity: Fidelity) -> None:
    assert "approximate" not in text_of(fidelity)
    assert "The scorer is only approximate" in text_of(replace(fidelity, exact=False))


def test_the_report_holds_the_section_only_if_asked(fidelity: Fidelity, tmp_path: Path) -> None:
    session = scored(conversation(*TALK), tmp_path, HashScorer())
    lines = fidelity_lines(fidelity, 80)
    assert "\n".join(lines) in report(session, 80, fidelity)
    assert lines[0] not in report(session, 80)
