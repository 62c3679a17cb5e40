"""`memscope score --memory`, `--incremental` and `--training`: tables, JSON, statuses, refusals."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memscope.ledger import Ledger
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring import session as session_module
from tests.cli.conftest import Run, assert_sentence, document, log, record
from tests.scorers_fake import TALK, HashScorer, conversation, failing, opening, reference

ROWS, _ = reference(conversation(*TALK))
NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m[/red]\u202e"


class TestMemory:
    """`--memory KEY`."""

    def test_it_prints_the_sum_and_every_response_by_divergence(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk, "--memory", "diet")
        assert outcome.status == 0
        title, _, total, _, heading, *lines = outcome.out.splitlines()
        assert title == "talk · memory diet over 2 responses · hash fake · signed divergence in nats"
        assert total == f"  {sum(ROWS[1][1:]):+.2f} in all  Nora cannot eat peanuts."
        assert heading == "Responses by divergence"
        best = sorted(zip(ROWS[1][1:], ("r2", "r3"), strict=True), reverse=True)
        assert [line.split()[0] for line in lines] == [name for _, name in best]
        for line, (value, _) in zip(lines, best, strict=True):
            assert f"{value:.2f}" in line

    def test_json_is_the_matrix_with_the_mode_last(self, run: Run, scorer: HashScorer, talk: Path) -> None:
        found = document(run("score", talk, "--memory", "diet", "--json", "-"))
        assert found["schema"] == "memscope.matrix/1"
        assert list(found)[-1] == "mode"
        assert found["mode"] == {
            "name": "memory",
            "key": "diet",
            "divergence": pytest.approx(sum(ROWS[1][1:])),
            "responses": [6, 9],
            "reason": None,
            "within_noise": False,
        }
        assert found["states"] == [["pending"] * 3, ["impossible", "scored", "scored"]]
        assert found["matrix"][0] == [None] * 3

    def test_without_a_mode_the_matrix_has_no_such_field(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        assert list(document(run("score", talk, "--json", "-")))[-1] == "cost"

    def test_an_unknown_key_is_status_1_and_the_nearest_are_named(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk, "--memory", "hone")
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.splitlines()[-1] == (
            f"memscope: {talk} has nothing to score for 'hone': "
            "the conversation holds no such memory; the nearest: home."
        )
        assert scorer.requests == []

    def test_an_unknown_key_is_0_with_the_reason_in_the_json(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk, "--memory", "hone", "--json", "-")
        assert outcome.status == 1
        mode = document(outcome)["mode"]
        assert (mode["divergence"], mode["responses"]) == (0, [])
        assert mode["reason"] == "the conversation holds no such memory; the nearest: home"

    @pytest.mark.parametrize("messages", [[("user", "Hi"), ("assistant", "Hi.")], [("home", "It rains.")]])
    def test_neither_memories_nor_responses_are_needed_to_say_so(
        self, run: Run, scorer: HashScorer, tmp_path: Path, messages: list[tuple[str, str]]
    ) -> None:
        path = log(tmp_path / "bare.jsonl", messages)
        outcome = run("score", path, "--memory", "home", "--json", "-")
        assert outcome.status == 1
        assert document(outcome)["mode"]["divergence"] == 0
        assert document(outcome)["mode"]["reason"]

    @pytest.mark.parametrize(("fail", "status"), [(failing(2, 3), 1), (None, 3)])
    def test_failures_are_status_1_or_3_and_never_a_number(
        self, run: Run, scorer: HashScorer, talk: Path, fail: Any, status: int
    ) -> None:
        def partly(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore | None:
            return score if request.keep or (number == 2 and score.span == 0) else None

        scorer.answer = fail or partly
        outcome = run("score", talk, "--memory", "home", "--json", "-")
        assert outcome.status == status
        assert document(outcome)["mode"]["divergence"] is None
        assert document(outcome)["mode"]["reason"]

    def test_a_failure_is_told_in_the_table(self, run: Run, scorer: HashScorer, talk: Path) -> None:
        scorer.answer = failing(2, 3)
        lines = run("score", talk, "--memory", "home").out.splitlines()
        assert lines[-2:] == ["Failed", "  home: the server fell over"]
        assert "in all" not in "".join(lines)


class TestIncremental:
    """`--incremental` and the ledger that it keeps."""

    def test_it_prints_what_was_due_by_largest_divergence(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk, "--incremental", "--window", "2")
        assert outcome.status == 0
        title, _, heading, *lines = outcome.out.splitlines()
        assert title == "talk · 2 of 2 memories due · hash fake · signed divergence in nats"
        assert heading == "Memories by largest divergence"
        best = sorted([(max(ROWS[0][:2]), "home"), (max(ROWS[1][1:]), "diet")], reverse=True)
        for line, (value, key) in zip(lines, best, strict=True):
            assert line.split()[0] == key
            assert f"{value:.2f}" in line
            assert line.endswith(f"weight {value:.2f} · scored 1 time")

    def test_json_has_a_result_for_each_memory_in_the_order_scored(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        record(tmp_path, "home", 100.0, days=3)
        found = document(run("score", talk, "--incremental", "--window", "2", "--json", "-"))
        assert list(found) == [
            *("schema", "session", "scorer", "metric", "noise_floor", "max_age", "window", "results"),
            *("not_due", "notes", "cost"),
        ]
        assert (found["schema"], found["max_age"], found["window"]) == ("memscope.incremental/1", 86400, 2)
        diet, home = found["results"]
        value = max(ROWS[0][:2])
        assert home == {
            "key": "home",
            "state": "scored",
            "divergence": pytest.approx(value),
            "entry": (3, 6)[ROWS[0].index(value)],
            "responses": [3, 6],
            "within_noise": False,
            "reason": None,
            "weight": pytest.approx(0.3 * value + 0.7 * 100),
            "last_scored": home["last_scored"],
            "times": 2,
        }
        scored = datetime.fromisoformat(home["last_scored"])
        assert abs((datetime.now(UTC) - scored).total_seconds()) < 60
        assert (diet["key"], diet["times"]) == ("diet", 1)
        assert found["not_due"] == []
        assert found["cost"]["tokens_computed"] == found["cost"]["tokens_needed"]

    def test_what_was_scored_within_max_age_is_not_due(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        record(tmp_path, "home", 1.0, days=3)
        found = document(run("score", talk, "--incremental", "--max-age", "7d", "--json", "-"))
        assert found["not_due"] == ["home"]
        assert [result["key"] for result in found["results"]] == ["diet"]

    def test_when_nothing_is_due_it_is_status_0_and_nothing_is_computed(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        run("score", talk, "--incremental", "--window", "2")
        requests = len(scorer.requests)
        outcome = run("score", talk, "--incremental", "--window", "2")
        assert outcome.status == 0
        assert "0 of 2 memories due" in outcome.out
        assert len(scorer.requests) == requests

    def test_a_memory_without_a_full_window_is_skipped_with_its_reason(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk, "--incremental")
        assert outcome.status == 0
        assert outcome.out.splitlines()[-2:] == ["Skipped", "  diet: only 2 of 10 responses follow it"]

    def test_when_all_are_skipped_it_is_status_1(self, run: Run, scorer: HashScorer, tmp_path: Path) -> None:
        path = log(tmp_path / "late.jsonl", [("user", "Hi"), ("assistant", "Hi."), ("fact", "It rains.")])
        outcome = run("score", path, "--incremental")
        assert outcome.status == 1
        assert "fact: no response follows it" in outcome.out

    @pytest.mark.parametrize(("requests", "status"), [((2, 3), 3), (range(1, 20), 1)])
    def test_failures_are_status_3_or_1_and_not_in_the_ledger(
        self, run: Run, scorer: HashScorer, talk: Path, requests: Any, status: int
    ) -> None:
        scorer.answer = failing(*requests)
        outcome = run("score", talk, "--incremental", "--window", "2")
        assert outcome.status == status
        assert outcome.out.splitlines()[-2] == "Failed"
        known = document(run("ledger", "--json"))["memories"]
        assert [entry["key"] for entry in known] == (["diet"] if status == 3 else [])

    def test_without_memories_it_is_status_1(self, run: Run, scorer: HashScorer, tmp_path: Path) -> None:
        path = log(tmp_path / "plain.jsonl", [("user", "Hello"), ("assistant", "Hello.")])
        assert_sentence(run("score", path, "--incremental"), 1, "holds no memories")

    def test_a_stop_by_the_user_keeps_what_is_done(
        self, run: Run, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupting(HashScorer):
            async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore]:
                async for score in HashScorer.score(self, request):
                    if len(self.requests) == 3:
                        for _ in range(100):
                            await asyncio.sleep(0.001)
                        os.kill(os.getpid(), signal.SIGINT)
                        await asyncio.sleep(60)
                    yield score

        monkeypatch.setattr(session_module, "open_scorer", opening(Interrupting()))
        outcome = run("score", talk, "--incremental", "--window", "2")
        assert (outcome.status, outcome.out) == (130, "")
        ledger = Ledger(tmp_path / "cache" / "scores.sqlite")
        assert [entry.key for entry in ledger.entries()] == ["home"]
        ledger.close()

    def test_a_ledger_that_can_not_be_kept_is_told_once_and_the_results_are_shown(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "cache").write_text("a file")
        outcome = run("score", talk, "--incremental", "--window", "2")
        assert outcome.status == 0
        assert outcome.out.count("Scores are kept only until you quit") == 1
        assert "home" in outcome.out


class TestTraining:
    """`--training` and the examples that `--to` writes."""

    def test_it_prints_the_candidates_largest_divergence_first(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk, "--training")
        assert outcome.status == 0
        title, _, heading, *lines = outcome.out.splitlines()
        assert title == "talk · 3 responses without any memory · hash fake · signed divergence in nats"
        assert heading == "Training candidates by divergence"
        found = document(run("score", talk, "--training", "--json", "-"))["candidates"]
        assert [int(line.split()[2]) for line in lines] == [candidate["entry"] for candidate in found]
        for line, candidate in zip(lines, found, strict=True):
            assert f"{candidate['divergence']:.2f}" in line
            assert line.endswith(TALK[candidate["entry"]][1])

    def test_json_has_a_candidate_for_each_response_among_the_last_entries(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        found = document(run("score", talk, "--training", "--last", "4", "--json", "-"))
        assert list(found) == [
            *("schema", "session", "scorer", "metric", "noise_floor", "last", "candidates", "notes", "cost")
        ]
        assert (found["schema"], found["last"]) == ("memscope.training/1", 4)
        assert {candidate["entry"] for candidate in found["candidates"]} == {6, 9}
        values = [candidate["divergence"] for candidate in found["candidates"]]
        assert values == sorted(values, reverse=True)
        assert [list(candidate) for candidate in found["candidates"]] == [
            ["entry", "divergence", "tokens", "within_noise", "state", "error"]
        ] * 2

    def examples(self, path: Path) -> list[list[dict[str, Any]]]:
        return [json.loads(line)["messages"] for line in path.read_text().splitlines()]

    def test_examples_are_the_chosen_responses_without_the_memories(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        outcome = run("score", talk, "--training", "--above", "-1000", "--to", tmp_path / "train.jsonl")
        assert outcome.status == 0
        assert outcome.out.startswith("talk · 3 responses without any memory")
        assert outcome.err.splitlines()[-1] == f"Wrote 3 training examples to {tmp_path / 'train.jsonl'}."
        found = document(run("score", talk, "--training", "--json", "-"))["candidates"]
        roles = ("system", "user", "assistant")
        spoken = [{"role": who, "content": text} if who in roles else None for who, text in TALK]
        assert self.examples(tmp_path / "train.jsonl") == [
            [message for message in spoken[: candidate["entry"] + 1] if message] for candidate in found
        ]

    def test_only_what_is_above_0_is_written_and_at_most_the_top(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "train.jsonl"
        found = document(run("score", talk, "--training", "--to", target, "--json", "-"))["candidates"]
        positive = [TALK[candidate["entry"]][1] for candidate in found if candidate["divergence"] > 0]
        assert 0 < len(positive) < 3
        assert [messages[-1]["content"] for messages in self.examples(target)] == positive
        run("score", talk, "--training", "--above", "-1000", "--top", "1", "--to", target)
        assert [messages[-1]["content"] for messages in self.examples(target)] == positive[:1]

    def test_what_is_within_noise_is_not_written(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        scorer.noise_floor = 1000
        outcome = run("score", talk, "--training", "--to", tmp_path / "train.jsonl")
        assert (tmp_path / "train.jsonl").read_bytes() == b""
        assert outcome.err.splitlines()[-1].startswith("Wrote 0 training examples to ")
        assert "~ marks values below 3 times the noise" in outcome.out

    def test_a_response_before_all_memories_shows_no_number(
        self, run: Run, scorer: HashScorer, tmp_path: Path
    ) -> None:
        path = log(tmp_path / "early.jsonl", [("user", "Hi"), ("assistant", "Hi."), *TALK])
        assert re.search(r"r1    entry 1  +-  Hi\.\n$", run("score", path, "--training").out)

    @pytest.mark.parametrize(
        ("messages", "reason"),
        [
            ([("user", "Hello"), ("assistant", "Hello.")], "holds no memories"),
            ([("fact", "It rains."), ("user", "Hello")], "holds no response"),
            ([("fact", "It rains."), ("assistant", "Yes."), *[("user", "So?")] * 50], "last 50 entries"),
        ],
    )
    def test_nothing_to_score_is_status_1(
        self, run: Run, scorer: HashScorer, tmp_path: Path, messages: list[tuple[str, str]], reason: str
    ) -> None:
        path = log(tmp_path / "bare.jsonl", messages)
        outcome = run("score", path, "--training", "--to", tmp_path / "train.jsonl")
        assert (outcome.status, outcome.out) == (1, "")
        assert reason in outcome.err.splitlines()[-1]
        assert not (tmp_path / "train.jsonl").exists()

    def test_what_fails_is_told_and_nothing_is_written(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        scorer.answer = failing(2, 3)
        outcome = run("score", talk, "--training", "--to", tmp_path / "train.jsonl")
        assert outcome.status == 1
        assert "entry 3, entry 6, entry 9: the server fell over" in outcome.out
        assert not (tmp_path / "train.jsonl").exists()


class TestRefusals:
    """What does not go together, and what is no number, is one sentence before anything is scored."""

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            (["--memory", "home", "--incremental"], ["--memory and --incremental exclude each other"]),
            (["--incremental", "--training"], ["--incremental and --training exclude each other"]),
            (["--memory", "home", "--training"], ["--memory and --training exclude each other"]),
            (["--max-age", "1d"], ["--max-age goes with --incremental only"]),
            (["--training", "--window", "3"], ["--window goes with --incremental only"]),
            (["--memory", "home", "--last", "3"], ["--last goes with --training only"]),
            (["--incremental", "--to", "x.jsonl"], ["--to goes with --training only"]),
            (["--top", "3"], ["--top goes with --training only"]),
            (["--above", "0"], ["--above goes with --training only"]),
            (["--training", "--top", "3"], ["--top chooses what --to writes"]),
            (["--training", "--above", "0"], ["--above chooses what --to writes"]),
            (["--incremental", "--max-age", "soon"], ["--max-age is 'soon'", "12h"]),
            (["--incremental", "--window", "0"], ["--window is '0'", "whole number above zero"]),
            (["--training", "--last", "many"], ["--last is 'many'", "whole number above zero"]),
            (["--training", "--last", "-1"], ["--last is '-1'"]),
            (["--training", "--to", "x.jsonl", "--top", "1.5"], ["--top is '1.5'"]),
            (["--training", "--to", "x.jsonl", "--above", "nan"], ["--above is 'nan'", "number of nats"]),
            (["--training", "--to", "x.csv"], ["x.csv", "the ending must be .jsonl"]),
            (["--training", "--to", "nowhere/x.jsonl"], ["there is no folder nowhere"]),
            (["--training", "--to", "x.jsonl", "--json", "./x.jsonl"], ["is what --json writes"]),
        ],
    )
    def test_it_is_status_2(
        self, run: Run, scorer: HashScorer, talk: Path, options: list[str], parts: list[str]
    ) -> None:
        assert_sentence(run("score", talk, *options), 2, *parts)
        assert scorer.requests == []

    def test_examples_are_never_written_over_the_conversation(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        before = talk.read_bytes()
        assert_sentence(run("score", talk, "--training", "--to", talk), 2, "is the conversation itself")
        assert talk.read_bytes() == before


@pytest.mark.parametrize("mode", [["--memory", NASTY], ["--incremental"], ["--training"]])
@pytest.mark.parametrize("fail", [False, True])
def test_nothing_in_a_conversation_can_command_the_terminal(
    run: Run, scorer: HashScorer, tmp_path: Path, mode: list[str], fail: bool
) -> None:
    path = log(tmp_path / "nasty.jsonl", [(NASTY, NASTY), ("user", NASTY), ("assistant", NASTY)])
    if fail:
        scorer.answer = failing(2, 3, reason=NASTY)
    outcome = run("score", path, *mode)
    assert outcome.status == int(fail)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", outcome.out + outcome.err)
    assert "[/red]" in outcome.out
