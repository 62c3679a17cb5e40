"""The memories that are due, oldest first, each kept before it is told."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from memscope.ledger import Ledger
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.modes import (
    IncrementalScore,
    Outcome,
    score_incremental,
    score_memory,
    spent_incrementally,
    with_all_noise,
)
from memscope.scoring.session import Session
from tests.scorers_fake import (
    TALK,
    HashScorer,
    conversation,
    failing,
    prepared,
    reference,
    scored,
)
from tests.scoring.talks import close, turns

TALKED = conversation(*TALK)
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
DAY = 86400.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger beside the scores."""
    kept = Ledger(tmp_path / "scores.sqlite")
    assert kept.problem is None
    yield kept
    kept.close()


def incremental(
    session: Session,
    ledger: Ledger,
    *,
    max_age: float = DAY,
    window: int = 2,
    fresh: bool = False,
    now: Callable[[], datetime] = lambda: NOON,
) -> list[IncrementalScore]:
    """All results of one pass."""

    async def collect() -> list[IncrementalScore]:
        scores = score_incremental(session, ledger, max_age=max_age, window=window, fresh=fresh, now=now)
        return [score async for score in scores]

    return asyncio.run(collect())


class TestIncremental:
    """`score_incremental`: what is due, oldest first, each in the ledger before it is told."""

    ABCD = turns("a", "b", "c", "d", tail=2)

    def test_the_result_is_the_largest_divergence_in_the_window(self, tmp_path: Path, ledger: Ledger) -> None:
        rows, _ = reference(self.ABCD)
        session = prepared(self.ABCD, tmp_path)
        results = incremental(session, ledger)
        assert [result.key for result in results] == ["a", "b", "c", "d"]
        for memory, result in enumerate(results):
            assert result.outcome is Outcome.SCORED
            assert result.responses == (memory, memory + 1)
            assert result.divergence == close(max(rows[memory][memory : memory + 2]))
            assert result.response == memory + int(np.argmax(rows[memory][memory : memory + 2]))
        assert session.matrix.count(CellState.SCORED) == 8
        session.close()

    def test_it_enters_value_weight_and_time_in_the_ledger(self, tmp_path: Path, ledger: Ledger) -> None:
        session = prepared(self.ABCD, tmp_path)
        ledger.record("a", "hash", 100.0, NOON - timedelta(days=2), "earlier.jsonl")
        results = {result.key: result for result in incremental(session, ledger)}
        entry = results["a"].entry
        assert entry is not None
        value = results["a"].divergence
        assert value is not None
        assert entry.value == value
        assert entry.weight == pytest.approx(0.3 * value + 0.7 * 100)
        assert (entry.last_scored, entry.times, entry.session) == (NOON, 2, "talk.jsonl")
        assert {one.key: one for one in ledger.entries()} == {key: r.entry for key, r in results.items()}
        session.close()

    def test_never_scored_ones_come_first_then_the_oldest_last_score(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        for key, days in (("a", 2), ("b", 5), ("d", 9)):
            ledger.record(key, "hash", 1.0, NOON - timedelta(days=days), "talk.jsonl")
        session = prepared(self.ABCD, tmp_path)
        assert [result.key for result in incremental(session, ledger)] == ["c", "d", "b", "a"]
        session.close()

    def test_one_that_is_in_the_store_does_not_overtake(self, tmp_path: Path, ledger: Ledger) -> None:
        session = prepared(self.ABCD, tmp_path)
        asyncio.run(score_memory(session, "d"))
        assert [result.key for result in incremental(session, ledger)] == ["a", "b", "c", "d"]
        session.close()

    def test_with_several_requests_at_once_they_come_in_the_same_order(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        class Uneven(HashScorer):
            async def score(self, request: ScoreRequest):  # type: ignore[no-untyped-def]
                async for score in HashScorer.score(self, request):
                    await asyncio.sleep(0.05 / len(self.requests))
                    yield score

        session = prepared(self.ABCD, tmp_path, Uneven(concurrency=4, reuses_prefix=False))
        assert [result.key for result in incremental(session, ledger)] == ["a", "b", "c", "d"]
        session.close()

    @pytest.mark.parametrize(
        ("seconds", "due"), [(DAY - 1, False), (DAY, True), (DAY + 1, True), (-60, True)]
    )
    def test_one_is_due_when_its_last_score_is_max_age_old_or_by_a_wrong_clock(
        self, tmp_path: Path, ledger: Ledger, seconds: float, due: bool
    ) -> None:
        ledger.record("b", "hash", 1.0, NOON - timedelta(seconds=seconds), "talk.jsonl")
        session = prepared(self.ABCD, tmp_path)
        assert ("b" in [result.key for result in incremental(session, ledger)]) == due
        session.close()

    def test_another_models_score_does_not_count(self, tmp_path: Path, ledger: Ledger) -> None:
        ledger.record("a", "another", 1.0, NOON, "talk.jsonl")
        session = prepared(self.ABCD, tmp_path)
        assert [result.key for result in incremental(session, ledger)] == ["a", "b", "c", "d"]
        session.close()

    def test_a_second_pass_within_max_age_scores_nothing(self, tmp_path: Path, ledger: Ledger) -> None:
        session = prepared(self.ABCD, tmp_path)
        incremental(session, ledger)
        assert incremental(session, ledger) == []
        assert len(incremental(session, ledger, max_age=0)) == 4
        session.close()

    def test_without_a_full_window_one_is_skipped_and_told_first(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        session = prepared(self.ABCD, tmp_path)
        results = incremental(session, ledger, window=5)
        assert [(result.key, result.outcome) for result in results] == [
            ("c", Outcome.SKIPPED),
            ("d", Outcome.SKIPPED),
            ("a", Outcome.SCORED),
            ("b", Outcome.SCORED),
        ]
        assert [result.reason for result in results[:2]] == [
            "only 4 of 5 responses follow it",
            "only 3 of 5 responses follow it",
        ]
        assert [entry.key for entry in ledger.entries() if entry.key in "cd"] == []
        session.close()

    def test_in_the_first_quarter_of_the_entries_a_window_need_not_be_full(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        talk = turns("a", None, "b", tail=2)  # 13 entries, `a` stands at 1 and `b` at 6
        session = prepared(talk, tmp_path)
        results = {result.key: result for result in incremental(session, ledger, window=10)}
        assert results["b"].outcome is Outcome.SKIPPED
        assert results["a"].responses == (0, 1, 2, 3, 4)
        assert results["a"].divergence == close(max(reference(talk)[0][0]))
        session.close()

    @pytest.mark.parametrize(("before", "skipped"), [(1, False), (2, True)])
    def test_the_first_quarter_ends_before_a_fourth_of_the_entries(
        self, tmp_path: Path, ledger: Ledger, before: int, skipped: bool
    ) -> None:
        messages = [("user", "Hello?")] * before + [("fact", "It rains.")]
        messages += [("user", "So?")] * (8 - len(messages) - 1) + [("assistant", "Yes.")]
        session = prepared(conversation(*messages), tmp_path)
        (result,) = incremental(session, ledger)
        assert (result.outcome is Outcome.SKIPPED) == skipped
        session.close()

    def test_one_that_no_response_follows_is_skipped(self, tmp_path: Path, ledger: Ledger) -> None:
        session = prepared(conversation(*TALK, ("late", "It rains.")), tmp_path)
        skipped, *_ = incremental(session, ledger)
        assert (skipped.key, skipped.reason) == ("late", "no response follows it")
        session.close()

    def test_each_is_on_disk_before_it_is_told_and_before_the_next_begins(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        session = prepared(self.ABCD, tmp_path)

        async def stop_after_two() -> None:
            scores = score_incremental(session, ledger, max_age=DAY, window=2, now=lambda: NOON)
            async with aclosing(scores):
                for told in (["a"], ["a", "b"]):
                    await anext(scores)
                    other = Ledger(tmp_path / "scores.sqlite")
                    assert sorted(entry.key for entry in other.entries()) == told
                    other.close()

        asyncio.run(stop_after_two())
        assert session.matrix.count(CellState.RUNNING) == 0
        assert [result.key for result in incremental(session, ledger)] == ["c", "d"]
        session.close()

    def test_killed_at_any_moment_it_keeps_what_was_done(self, tmp_path: Path) -> None:
        program = """
import asyncio, os, sys
from pathlib import Path
from memscope.ledger import Ledger
from memscope.scoring.modes import score_incremental
from tests.scorers_fake import prepared
from tests.scoring.test_incremental import TestIncremental

cache, kill_after = Path(sys.argv[1]), int(sys.argv[2])
session = prepared(TestIncremental.ABCD, cache)
ledger = Ledger(cache / "scores.sqlite")
async def run():
    told = 0
    async for _ in score_incremental(session, ledger, max_age=86400, window=2):
        told += 1
        if told == kill_after:
            os._exit(9)
asyncio.run(run())
"""
        kept = []
        for kill_after in ("1", "2", "9"):
            ended = subprocess.run([sys.executable, "-c", program, str(tmp_path), kill_after]).returncode
            ledger = Ledger(tmp_path / "scores.sqlite")
            kept.append((ended, sorted((entry.key, entry.times) for entry in ledger.entries())))
            ledger.close()
        a, b, c, d = (("a", 1), ("b", 1), ("c", 1), ("d", 1))
        assert kept == [(9, [a]), (9, [a, b, c]), (0, [a, b, c, d])]

    def test_one_that_fails_is_told_and_not_entered_and_the_others_are(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        session = prepared(self.ABCD, tmp_path, HashScorer(answer=failing(2, 3, 4)))
        first, *others = incremental(session, ledger)
        assert (first.key, first.outcome, first.divergence) == ("a", Outcome.FAILED, None)
        assert (first.reason, first.entry) == ("the server fell over", None)
        assert [other.outcome for other in others] == [Outcome.SCORED] * 3
        assert sorted(entry.key for entry in ledger.entries()) == ["b", "c", "d"]
        assert [result.key for result in incremental(session, ledger)] == ["a"]
        session.close()

    def test_without_a_baseline_all_fail_with_its_reason(self, tmp_path: Path, ledger: Ledger) -> None:
        session = prepared(self.ABCD, tmp_path, HashScorer(answer=failing(*range(1, 100))))
        results = incremental(session, ledger)
        assert {result.reason for result in results} == {"the baseline failed: the server fell over"}
        assert ledger.entries() == []
        session.close()

    def test_memories_share_the_baselines_prefix(self, tmp_path: Path, ledger: Ledger) -> None:
        scorer = HashScorer()
        session = prepared(self.ABCD, tmp_path, scorer)
        spent = spent_incrementally(session, incremental(session, ledger))
        assert spent.tokens_computed == spent.tokens_needed < spent.tokens_naive
        assert [request.keep for request in scorer.requests] == [True, False, False, False, False]
        session.close()

    def test_in_several_windows_the_order_and_the_numbers_are_the_same(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        talk = turns(*"abcdefghij", tail=2)
        full = scored(talk, tmp_path / "full", HashScorer(context_length=90))
        session = prepared(talk, tmp_path, HashScorer(context_length=90))
        assert len(session.prepared_run().plan.windows) > 2
        results = incremental(session, ledger)
        assert [result.key for result in results] == list("abcdefghij")
        for result in results:
            cells = full.matrix.values(Metric.SIGNED)[result.memory, list(result.responses)]
            assert result.divergence == close(cells.max())
        session.close()

    def test_one_seen_by_a_part_of_its_window_is_scored_there(self, tmp_path: Path, ledger: Ledger) -> None:
        talk = turns("a", tail=8)
        session = prepared(talk, tmp_path, HashScorer(context_length=60))
        (result,) = incremental(session, ledger, window=9)
        assert 0 < len(result.responses) < 9
        assert result.outcome is Outcome.SCORED
        session.close()

    def test_fresh_scores_what_is_due_again(self, tmp_path: Path, ledger: Ledger) -> None:
        scored(self.ABCD, tmp_path)
        scorer = HashScorer()
        session = prepared(self.ABCD, tmp_path, scorer)
        assert len(incremental(session, ledger, max_age=0)) == 4
        assert scorer.requests == []
        results = incremental(session, ledger, max_age=0, fresh=True)
        assert len(scorer.requests) == 5
        assert spent_incrementally(session, results).cells_from_cache == 0
        session.close()

    def test_what_the_store_knew_is_counted(self, tmp_path: Path, ledger: Ledger) -> None:
        scored(self.ABCD, tmp_path)
        session = prepared(self.ABCD, tmp_path)
        spent = spent_incrementally(session, incremental(session, ledger))
        assert (spent.cells_from_cache, spent.tokens_computed, spent.requests) == (8, 0, 0)
        session.close()

    def test_values_within_noise_are_flagged(self, tmp_path: Path, ledger: Ledger) -> None:
        session = prepared(self.ABCD, tmp_path, HashScorer(noise_floor=1000))
        assert all(result.within_noise for result in incremental(session, ledger))
        session.close()

    def test_noise_that_is_measured_late_counts_when_all_are_there(
        self, tmp_path: Path, ledger: Ledger
    ) -> None:
        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            drift = np.float32(1000 if request.keep and number > 1 else 0)
            return SpanScore(score.span, score.logprobs + drift)

        session = prepared(self.ABCD, tmp_path, HashScorer(exact=False, answer=answer))
        results = incremental(session, ledger)
        assert not results[0].within_noise
        assert all(result.within_noise for result in with_all_noise(session, results))
        session.close()

    def test_a_ledger_that_can_not_be_kept_costs_only_the_keeping(self, tmp_path: Path) -> None:
        (tmp_path / "blocked").write_text("a file where the folder should be")
        broken = Ledger(tmp_path / "blocked" / "scores.sqlite")
        session = prepared(self.ABCD, tmp_path)
        results = incremental(session, broken)
        assert [result.outcome for result in results] == [Outcome.SCORED] * 4
        assert [entry.key for entry in broken.entries()] != []
        assert broken.problem is not None
        session.close()
