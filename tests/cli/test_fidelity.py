"""`memscope score --fidelity`: the table's section, the JSON's field, its cost, statuses, refusals."""

import os
from pathlib import Path

import pytest

from memscope.errors import ScorerError
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scorers.embedded.pull import DEFAULT_MODEL, models_dir
from tests.cli.conftest import Run, assert_sentence, document, log
from tests.scorers_fake import HashScorer

FACTS = (
    ("home", "Nora lives in Bergen."),
    ("diet", "Nora cannot eat peanuts."),
    ("pet", "Nora has a heron."),
    ("user", "Where do I start, and with whom?"),
    ("assistant", "From Bergen, with your heron."),
    ("user", "And what do I leave at home?"),
    ("assistant", "The peanuts."),
)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A native log of three memories and two responses."""
    return log(tmp_path / "talk.jsonl", FACTS)


def test_the_table_has_a_section_more_and_is_the_same_before(
    run: Run, scorer: HashScorer, talk: Path
) -> None:
    plain, outcome = run("score", talk), run("score", talk, "--fidelity")
    assert outcome.status == 0
    assert outcome.out.startswith(plain.out)
    lines = outcome.out[len(plain.out) :].splitlines()
    assert lines[:2] == ["", "Fidelity in signed nats, by 32 random masks and seed 0"]
    text = " ".join(line.strip() for line in lines[2:])
    for part in (
        "LDS, predicted with actual log-probability: ",
        "the mean of 2 responses",
        "Drop without the strongest memory: ",
        "Drop without the 3 strongest: ",
        "Drop without the 5 strongest: none, for no response sees so many.",
        "All memories left out: ",
    ):
        assert part in text


def test_the_json_has_the_figures_last(run: Run, scorer: HashScorer, talk: Path) -> None:
    found = document(run("score", talk, "--fidelity", "--json", "-", "--seed", "7", "--masks", "16"))
    assert found["schema"] == "memscope.matrix/1"
    assert list(found)[-1] == "fidelity"
    fidelity = found["fidelity"]
    assert (fidelity["seed"], fidelity["masks"], fidelity["metric"]) == (7, 16, "signed")
    assert [top["k"] for top in fidelity["top"]] == [1, 3, 5]
    assert fidelity["top"][2] == {
        "k": 5,
        "drop": None,
        "random": None,
        "responses": 0,
        "missing": 0,
        "eligible": 0,
    }
    best = [max(row[r] for row in found["matrix"]) for r in range(2)]
    assert fidelity["top"][0]["drop"] == pytest.approx(sum(best) / 2)
    apart = sum(memory["weight"] for memory in found["memories"])
    assert fidelity["redundancy"]["total"]["apart"] == pytest.approx(apart)
    assert [one["entry"] for one in fidelity["lds"]["responses"]] == [4, 6]


def test_without_it_the_json_has_no_such_field(run: Run, scorer: HashScorer, talk: Path) -> None:
    assert "fidelity" not in document(run("score", talk, "--json", "-"))


def test_the_cost_is_told_before_anything_is_left_out(run: Run, scorer: HashScorer, talk: Path) -> None:
    outcome = run("score", talk, "--fidelity", "--json", "-")
    (said,) = [line for line in outcome.err.splitlines() if "fidelity takes" in line]
    spent = document(outcome)["fidelity"]["spent"]
    tokens = int(said.partition("ablations more, ")[2].partition(" tokens")[0].replace(",", ""))
    assert 0 < tokens <= spent["tokens_computed"]
    assert said.endswith(" tokens at most")


def test_ablations_that_fail_are_status_3_and_named(run: Run, scorer: HashScorer, talk: Path) -> None:
    scorer.answer = _without_all_three
    outcome = run("score", talk, "--fidelity")
    assert outcome.status == 3
    text = " ".join(outcome.out.split())
    assert "All memories left out: none (2 responses without a score)." in text
    assert "Failed: " in text
    assert text.count("it has no memory at all") == 1
    found = document(run("score", talk, "--fidelity", "--json", "-"))["fidelity"]
    assert found["redundancy"]["total"]["together"] is None
    assert [top["drop"] is None for top in found["top"]] == [False, True, True]


def _without_all_three(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
    """Fails where no memory is left."""
    if not any(word in request.texts for word in ("lives", "cannot", "has")):
        raise ScorerError("it has no memory at all", final=True)
    return score


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--fidelity", "--memory", "home"], ["--memory and --fidelity exclude each other"]),
        (["--fidelity", "--incremental"], ["--incremental and --fidelity exclude each other"]),
        (["--fidelity", "--training"], ["--training and --fidelity exclude each other"]),
        (["--seed", "1"], ["--seed goes with --fidelity only"]),
        (["--masks", "9"], ["--masks goes with --fidelity only"]),
        (["--fidelity", "--masks", "2"], ["--masks is 2", "from 3 to 1,024"]),
        (["--fidelity", "--masks", "many"], ["--masks is 'many'"]),
        (["--fidelity", "--masks", "2000"], ["--masks is 2,000"]),
        (["--fidelity", "--seed", "-1"], ["--seed is '-1'"]),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    run: Run, scorer: HashScorer, talk: Path, arguments: list[str], parts: list[str]
) -> None:
    assert_sentence(run("score", talk, *arguments), 2, *parts)
    assert scorer.requests == []


def test_the_embedded_model_end_to_end(run: Run, talk: Path, tmp_path: Path) -> None:
    models = Path(os.environ.get("HOME", "/")) / ".cache" / "memscope" / "models"
    if not (models / DEFAULT_MODEL).is_dir():
        pytest.skip("`memscope model pull` has not been run")
    (tmp_path / "cache").mkdir()
    models_dir().symlink_to(models)
    found = document(run("score", talk, "--fidelity", "--masks", "8", "--json", "-"))
    fidelity = found["fidelity"]
    assert fidelity["lds"]["mean"] > 0
    top = fidelity["top"][1]
    assert top["drop"] == pytest.approx(top["random"])  # three of three
    assert fidelity["redundancy"]["total"]["together"] == pytest.approx(2 * top["drop"], abs=1e-3)
    assert fidelity["failed"] == []
    assert fidelity["spent"]["tokens_computed"] < fidelity["spent"]["tokens_naive"]
