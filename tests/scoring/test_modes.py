"""One memory alone, and all memories left out at once: the full matrix's numbers in a window."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from memscope.conversation.model import Conversation
from memscope.errors import MemscopeError, ScorerError
from memscope.prompt import build_prompt
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring.candidates import Candidate, chosen
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.modes import (
    MemoryScore,
    Outcome,
    Training,
    score_memory,
    score_training,
)
from memscope.scoring.session import Session
from tests.scorers_fake import (
    TALK,
    HashScorer,
    WordTokenizer,
    conversation,
    failing,
    hash_logprobs,
    prepared,
    reference,
    scored,
)
from tests.scoring.talks import close, turns

TALKED = conversation(*TALK)
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
DAY = 86400.0


class TestMemory:
    """`score_memory`: the sum over the window to the 50th response after the memory's first entry."""

    def memory(self, session: Session, key: str, *, fresh: bool = False) -> MemoryScore:
        return asyncio.run(score_memory(session, key, fresh=fresh))

    def test_it_is_the_sum_of_the_memorys_row(self, tmp_path: Path) -> None:
        rows, _ = reference(TALKED)
        session = prepared(TALKED, tmp_path)
        home, diet = self.memory(session, "home"), self.memory(session, "diet")
        assert (home.divergence, home.responses) == (close(sum(rows[0])), (0, 1, 2))
        assert (diet.divergence, diet.responses) == (close(sum(rows[1][1:])), (1, 2))
        assert (home.outcome, home.reason, home.within_noise) == (Outcome.SCORED, None, False)
        session.close()

    def test_it_follows_the_metric(self, tmp_path: Path) -> None:
        rows, _ = reference(TALKED)
        session = prepared(TALKED, tmp_path, metric=Metric.CLAMPED)
        assert self.memory(session, "home").divergence == close(sum(max(0.0, value) for value in rows[0]))
        session.close()

    def test_the_window_ends_at_the_50th_response_after_the_memorys_first_entry(self, tmp_path: Path) -> None:
        talk = turns(None, None, "home", tail=60)
        session = prepared(talk, tmp_path)
        score = self.memory(session, "home")
        assert score.responses == tuple(range(2, 52))
        assert score.divergence == close(sum(reference(talk)[0][0][2:52]))
        assert session.matrix.count(CellState.SCORED) == 50
        session.close()

    def test_the_other_cells_stay_pending(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        self.memory(session, "diet")
        impossible, pending, done = CellState.IMPOSSIBLE, CellState.PENDING, CellState.SCORED
        assert session.matrix.states.tolist() == [[pending] * 3, [impossible, done, done]]
        session.close()

    def test_what_it_scored_the_full_matrix_does_not_score_again(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        self.memory(session, "home")
        session.close()
        full = scored(TALKED, tmp_path)
        assert full.run is not None
        assert full.run.cells_from_cache == 3
        assert full.matrix.values(Metric.SIGNED)[0].tolist() == close(reference(TALKED)[0][0])

    def test_what_the_full_matrix_scored_costs_nothing(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        scorer = HashScorer()
        session = prepared(TALKED, tmp_path, scorer)
        assert self.memory(session, "home").divergence == close(sum(reference(TALKED)[0][0]))
        assert scorer.requests == []
        session.close()

    def test_fresh_scores_it_again(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        scorer = HashScorer()
        session = prepared(TALKED, tmp_path, scorer)
        assert self.memory(session, "diet", fresh=True).divergence == close(sum(reference(TALKED)[0][1][1:]))
        assert len(scorer.requests) == 2
        session.close()

    def test_a_memory_that_is_absent_is_0_and_the_nearest_are_named(self, tmp_path: Path) -> None:
        scorer = HashScorer()
        session = prepared(turns("trip/budget", "trip/dates", "home"), tmp_path, scorer)
        assert self.memory(session, "trip/budgt") == MemoryScore(
            "trip/budgt",
            Outcome.SKIPPED,
            0.0,
            reason="the conversation holds no such memory; the nearest: trip/budget, trip/dates",
        )
        assert self.memory(session, "xyz").reason == (
            "the conversation holds no such memory, and none of its 3 has a name like it"
        )
        assert scorer.requests == []
        session.close()

    def test_a_memory_that_no_response_follows_is_0_and_says_so(self, tmp_path: Path) -> None:
        session = prepared(conversation(*TALK, ("late", "It rains.")), tmp_path)
        score = self.memory(session, "late")
        assert (score.outcome, score.divergence) == (Outcome.SKIPPED, 0.0)
        assert score.reason == "no response follows it"
        session.close()

    def test_a_memory_that_no_response_sees_in_the_models_context_has_no_number(self, tmp_path: Path) -> None:
        talk = conversation(
            ("system", "Short."),
            ("user", "Hello?"),
            ("fact", "It rains in Bergen."),
            ("user", "What now, after all these many words that fill up the context of the model?"),
            ("assistant", "Wait " * 20),
        )
        session = prepared(talk, tmp_path, HashScorer(context_length=60))
        score = self.memory(session, "fact")
        assert (score.outcome, score.divergence) == (Outcome.SKIPPED, None)
        assert score.reason == "no response sees it within the model's context"
        session.close()

    def test_a_cell_that_fails_makes_it_failed_with_the_reason_and_no_number(self, tmp_path: Path) -> None:
        def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore:
            if not request.keep and (number > 2 or score.span):
                raise ScorerError("the server fell over")
            return score

        session = prepared(TALKED, tmp_path, HashScorer(answer=answer))
        score = self.memory(session, "home")
        assert (score.outcome, score.divergence) == (Outcome.FAILED, None)
        assert score.reason == "the server fell over"
        assert session.matrix.count(CellState.SCORED) == 1
        session.close()

    def test_it_is_within_noise_if_all_its_cells_are(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path, HashScorer(noise_floor=1000))
        assert self.memory(session, "home").within_noise
        session.close()

    def test_before_the_session_is_prepared_it_is_one_sentence(self) -> None:
        with pytest.raises(MemscopeError, match="not prepared"):
            self.memory(Session(TALKED), "home")

    def test_progress_counts_the_one_memory(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)

        async def titles() -> set[str]:
            cells = np.array([[False] * 3, [True] * 3])
            return {
                activity.title
                async for _ in session.score(only=cells)
                for activity in session.activities.snapshot()
            }

        assert "scoring diet 1/1" in asyncio.run(titles())
        session.close()


class TestTraining:
    """`score_training`: the responses of the last entries without any memory, largest divergence first."""

    def training(self, session: Session, last: int = 50) -> Training:
        return asyncio.run(score_training(session, last))

    def without_any(self, talk: Conversation) -> list[float]:
        """Signed divergences [R] by removing the tokens of all memories one by one."""
        prompt = build_prompt(talk, WordTokenizer())
        with_all = hash_logprobs(prompt.ids).astype(np.float64)
        kept = np.flatnonzero(prompt.memory < 0)
        without = dict(zip(kept.tolist(), hash_logprobs(prompt.ids[kept]).tolist(), strict=True))
        return [sum(with_all[at] - without[at] for at in span.tolist()) for span in prompt.responses]

    def test_it_leaves_out_all_memories_at_once(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        candidates = self.training(session).candidates
        expected = sorted(zip(self.without_any(TALKED), (3, 6, 9), (8, 8, 10), strict=True), reverse=True)
        assert [candidate.divergence for candidate in candidates] == close([one[0] for one in expected])
        assert [(one.entry, one.tokens) for one in candidates] == [one[1:] for one in expected]
        assert {candidate.state for candidate in candidates} == {CellState.SCORED}
        session.close()

    def test_only_responses_among_the_last_entries_are_scored(self, tmp_path: Path) -> None:
        scorer = HashScorer()
        session = prepared(TALKED, tmp_path, scorer)
        assert {candidate.entry for candidate in self.training(session, last=4).candidates} == {6, 9}
        assert {candidate.entry for candidate in self.training(session, last=3).candidates} == {9}
        assert [len(request.spans) for request in scorer.requests] == [2, 2]
        session.close()

    def test_a_second_time_costs_nothing(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        first = self.training(session)
        assert first.spent.tokens_computed == first.spent.tokens_needed < first.spent.tokens_naive
        again = self.training(session)
        assert again.candidates == first.candidates
        assert (again.spent.tokens_computed, again.spent.cells_from_cache) == (0, 3)
        session.close()

    def test_a_response_before_all_memories_has_no_number_and_stands_last(self, tmp_path: Path) -> None:
        session = prepared(turns(None, "a", "b"), tmp_path)
        *_, last = self.training(session).candidates
        assert (last.response, last.divergence, last.state) == (0, None, CellState.IMPOSSIBLE)
        session.close()

    def test_what_fails_has_no_number_and_says_why(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path, HashScorer(answer=failing(2, 3, 4)))
        for candidate in self.training(session).candidates:
            assert (candidate.divergence, candidate.state) == (None, CellState.FAILED)
            assert candidate.error == "the server fell over"
        session.close()

    def test_values_within_noise_are_flagged(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path, HashScorer(noise_floor=1000))
        training = self.training(session)
        assert all(candidate.within_noise for candidate in training.candidates)
        assert training.noise_floor == 1000
        session.close()

    def test_the_full_matrix_stays_as_it_is(self, tmp_path: Path) -> None:
        session = prepared(TALKED, tmp_path)
        self.training(session)
        assert session.matrix.count(CellState.PENDING) == 5
        session.close()


class TestChosen:
    """Which candidates are worth training on."""

    CANDIDATES = tuple(
        Candidate(at, at, value, 10, noise, CellState.SCORED if value is not None else CellState.FAILED, None)
        for at, (value, noise) in enumerate(
            [
                (9.0, False),
                (5.0, True),
                (3.0, False),
                (0.5, False),
                (0.0, False),
                (-2.0, False),
                (None, False),
            ]
        )
    )

    @pytest.mark.parametrize(
        ("top", "above", "entries"),
        [
            (None, 0.0, [0, 2, 3]),
            (2, 0.0, [0, 2]),
            (None, 0.5, [0, 2]),
            (None, -3.0, [0, 2, 3, 4, 5]),
            (9, 100.0, []),
        ],
    )
    def test_the_largest_above_a_divergence_and_above_noise(
        self, top: int | None, above: float, entries: list[int]
    ) -> None:
        assert [candidate.entry for candidate in chosen(self.CANDIDATES, top, above)] == entries
