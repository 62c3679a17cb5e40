"""A session from conversation to matrix: over the fake scorer, and with the embedded model itself."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memscope.activity import Activities, ActivityState
from memscope.conversation.model import Conversation, Source
from memscope.conversation.readers import build_conversation
from memscope.documents import matrix_document
from memscope.errors import MemscopeError, ModelError
from memscope.scorers.embedded.pull import DEFAULT_MODEL, installed
from memscope.scoring import session as session_module
from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.session import Session
from memscope.settings import ScorerChoice
from tests.scorers_fake import TALK, HashScorer, conversation, prepared, reference, scored

TALKED = conversation(*TALK)


class TestPreparing:
    """Opening the model, the store and the plan."""

    def test_before_it_the_matrix_is_there_and_unscored(self) -> None:
        session = Session(TALKED)
        assert session.matrix.states.tolist() == [
            [CellState.PENDING] * 3,
            [CellState.IMPOSSIBLE, CellState.PENDING, CellState.PENDING],
        ]
        assert (session.plan, session.scorer, session.tokens_missing()) == (None, None, None)
        assert (session.scorer_label, session.noise_floor, session.notes) == ("", None, ())
        assert asyncio.run(session.token_view(0, None)) is None

    def test_scoring_before_it_is_one_sentence(self) -> None:
        with pytest.raises(MemscopeError, match=r"^The conversation is not prepared for scoring yet\.$"):
            Session(TALKED).score()

    def test_it_knows_model_cost_and_what_is_kept(self, tmp_path: Path) -> None:
        scored(TALKED, tmp_path)
        session = prepared(TALKED, tmp_path)
        assert (session.scorer_label, session.noise_floor) == ("hash fake", 1e-6)
        assert session.tokens_missing() == 0
        assert session.matrix.count(CellState.SCORED) == 5
        assert session.matrix.tokens.tolist() == [8, 8, 10]
        session.close()

    def test_a_model_that_fails_to_open_may_be_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problems = [ModelError("The model is damaged.")]

        async def open_scorer(*arguments: object) -> HashScorer:
            if problems:
                raise problems.pop()
            return HashScorer()

        monkeypatch.setattr(session_module, "open_scorer", open_scorer)
        monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path))
        session = Session(TALKED)
        with pytest.raises(ModelError):
            asyncio.run(session.prepare())
        (failure,) = session.activities.snapshot()
        assert (failure.state, failure.error) == (ActivityState.FAILED, "The model is damaged.")
        asyncio.run(session.prepare())
        assert session.plan is not None
        asyncio.run(session.prepare())
        session.close()

    def test_cancelling_it_stops_the_fetch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, ended = threading.Event(), threading.Event()

        def fetch(stop: threading.Event) -> None:
            begun.set()
            assert stop.wait(10)
            ended.set()

        async def open_scorer(choice: ScorerChoice, activities: Activities, stop: threading.Event) -> None:
            await asyncio.to_thread(fetch, stop)

        monkeypatch.setattr(session_module, "open_scorer", open_scorer)
        monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path))
        session = Session(TALKED)

        async def cancel() -> None:
            task = asyncio.create_task(session.prepare())
            await asyncio.to_thread(begun.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        assert ended.wait(10)
        assert session.run is None
        session.close()


def test_tokens_are_shown_with_all_memories_and_without_one(tmp_path: Path) -> None:
    session = scored(TALKED, tmp_path)
    view = asyncio.run(session.token_view(1, None))
    assert view is not None
    assert "".join(view.tokens) == "Skip the satay sauce."
    assert view.without is None
    session = prepared(TALKED, tmp_path)
    view = asyncio.run(session.token_view(1, 1))
    assert view is not None
    assert view.without is not None
    assert len(view.tokens) == len(view.with_all) == len(view.without)
    drop = float((view.with_all.astype(np.float64) - view.without).sum())
    assert drop == pytest.approx(session.matrix.values(Metric.SIGNED)[1, 1])
    session.close()


def test_closing_the_iterator_leaves_nothing_running_at_once(tmp_path: Path) -> None:
    session = prepared(TALKED, tmp_path)

    async def close_half_way() -> None:
        async with aclosing(session.score()) as changes:
            for _ in range(3):
                await anext(changes)
            assert session.matrix.count(CellState.RUNNING) > 0
        assert session.matrix.count(CellState.RUNNING) == 0

    asyncio.run(close_half_way())
    session.close()


def test_what_windows_leave_out_and_what_is_too_long_is_noted(tmp_path: Path) -> None:
    talk = conversation(
        ("system", "Short."),
        ("fact", "It rains."),
        *[(role, f"{role} says this.") for _ in range(8) for role in ("user", "assistant")],
        ("user", "More?"),
        ("assistant", "far too long " * 30),
    )
    session = prepared(talk, tmp_path, HashScorer(context_length=60))
    longer, too_long = session.notes
    assert longer.startswith("The conversation is longer than the model's context: it is scored in ")
    assert too_long == "Response r9 (entry 19) is longer than the model's context; not scored."
    assert np.isnan(session.matrix.values(session.metric)[0]).all()
    assert session.matrix.states[0, 8] == CellState.IMPOSSIBLE
    session.close()


def in_contexts(*contexts: tuple[tuple[str, str], ...]) -> Conversation:
    """From the messages of each context; what a later one begins with in capitals is kept from before."""
    entries = [
        replace(entry, context=number, kept=number > 0 and entry.text.isupper())
        for number, messages in enumerate(contexts)
        for entry in conversation(*messages).entries
    ]
    return build_conversation(entries, Source("talk.jsonl", "native", "talk"))


BEFORE = (
    ("system", 'You plan trips. <memory key="style">Be brief.</memory>'),
    ("home", "Nora lives in Bergen."),
    ("user", "Where do I start?"),
    ("assistant", "You start from Bergen."),
)
AFTER = (
    ("user", "SHE STARTS IN BERGEN."),
    ("assistant", "I SEE."),
    ("diet", "Nora cannot eat peanuts."),
    ("user", "What shall I eat?"),
    ("assistant", "Skip the satay sauce."),
    ("home", "Nora lives near the quay."),
    ("user", "And then?"),
    ("assistant", "Walk home along the quay."),
)


class TestContexts:
    """A conversation that was compacted: each context is scored by itself, under the same system prompt."""

    def test_each_context_has_the_numbers_of_a_conversation_of_its_own(self, tmp_path: Path) -> None:
        talk = in_contexts(BEFORE, AFTER)
        session = scored(talk, tmp_path)
        first, second = (in_contexts(messages) for messages in (BEFORE, (BEFORE[0], *AFTER)))
        second = replace(second, entries=tuple(replace(e, kept=e.text.isupper()) for e in second.entries))
        expected = np.full((3, 3), np.nan)
        for alone, columns in ((first, [0]), (second, [1, 2])):
            numbers, baseline = reference(alone)
            rows = [session.matrix.keys.index(memory.key) for memory in alone.memories]
            expected[np.ix_(rows, columns)] = numbers
            assert session.matrix.baseline[columns].tolist() == pytest.approx(baseline)
        assert list(session.matrix.keys) == ["style", "home", "diet"]
        assert session.matrix.values(Metric.SIGNED).ravel().tolist() == pytest.approx(
            expected.ravel().tolist(), nan_ok=True
        )
        scored_cells = session.matrix.states == CellState.SCORED
        assert scored_cells.tolist() == [[True, True, True], [True, False, True], [False, True, True]]

    def test_which_cells_are_possible_is_known_before_the_model_is(self, tmp_path: Path) -> None:
        talk = in_contexts(BEFORE, AFTER)
        session = prepared(talk, tmp_path)
        assert session.matrix.states.tolist() == Session(talk).matrix.states.tolist()
        session.close()

    def test_the_contexts_are_noted_and_not_put_down_to_the_models_length(self, tmp_path: Path) -> None:
        session = scored(in_contexts(BEFORE, AFTER), tmp_path)
        assert session.notes == ("The conversation was compacted once: it is scored in 2 contexts.",)
        assert [window.left_out for window in matrix_document(session).windows] == [[], []]
        session = prepared(in_contexts(BEFORE, AFTER, AFTER), tmp_path)
        assert session.notes == ("The conversation was compacted 2 times: it is scored in 3 contexts.",)
        session.close()

    def test_a_context_that_is_too_long_for_the_model_is_noted_beside_them(self, tmp_path: Path) -> None:
        session = prepared(in_contexts(BEFORE, AFTER), tmp_path, HashScorer(context_length=90))
        compacted, longer = session.notes
        assert compacted == "The conversation was compacted once: it is scored in 2 contexts."
        assert longer.startswith("One of them is longer than the model's context: all are scored in ")
        session.close()


@pytest.mark.skipif(
    DEFAULT_MODEL not in [model.name for model in installed()], reason="`memscope model pull` was not run"
)
class TestEmbeddedModel:
    """With the model itself, on a conversation of a few dozen tokens."""

    SHORT = (
        ("pet", "The user has a parrot called Ferdinand."),
        ("car", "The user drives a blue van."),
        ("user", "What is my parrot called?"),
        ("assistant", "Your parrot is called Ferdinand."),
    )

    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A cache with the installed model and no scores."""
        (folder,) = (model.folder for model in installed() if model.name == DEFAULT_MODEL)
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / DEFAULT_MODEL).symlink_to(folder)
        monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path))
        return tmp_path

    def test_the_memory_that_was_needed_stands_out_and_a_second_time_nothing_is_computed(
        self, cache: Path
    ) -> None:
        documents = []
        for _ in range(2):
            session = Session(conversation(*self.SHORT))

            async def score(session: Session = session) -> None:
                await session.prepare()
                async for _ in session.score():
                    pass

            asyncio.run(score())
            session.close()
            documents.append(matrix_document(session))
        first, second = documents
        (pet,), (car,) = first.matrix
        assert pet is not None
        assert car is not None
        assert pet > 3 > car
        assert first.important["3"][0][0] == "pet"
        assert 0 < first.cost.tokens_computed == first.cost.tokens_needed < first.cost.tokens_naive
        assert first.cost.requests == 3
        assert (second.cost.tokens_computed, second.cost.requests, second.cost.cells_from_cache) == (0, 0, 2)
        assert second.matrix == first.matrix

    def test_an_interrupt_stops_it_soon_and_keeps_what_is_done(self, cache: Path, tmp_path: Path) -> None:
        path = tmp_path / "talk.jsonl"
        lines = [
            {"role": "system", "content": "Nora likes trains. " * 30, "memory_key": f"fact {n}"}
            if role == "memory"
            else {"role": role, "content": f"Words and words about trains, part {n}."}
            for n in range(3)
            for role in ("memory", "user", "assistant")
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        program = "from memscope.cli import main; main()"
        scoring = subprocess.Popen(
            [sys.executable, "-c", program, "score", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert scoring.stderr is not None
        for line in scoring.stderr:
            if "baseline" in line:
                break
        scoring.send_signal(signal.SIGINT)
        out, err = scoring.communicate(timeout=60)
        assert (scoring.returncode, out) == (130, "")
        assert err.splitlines()[-1] == "memscope: stopped; scoring again goes on from what is in the store."
        assert "Traceback" not in err
        kept = sqlite3.connect(cache / "scores.sqlite")
        assert kept.execute("SELECT count(*) FROM logprobs").fetchone()[0] >= 3
        kept.close()


def test_a_snapshot_stays_as_it_was(tmp_path: Path) -> None:
    session = Session(conversation(*TALK))
    frozen = session.snapshot()
    session.matrix.set_failed(0, range(len(session.matrix.responses)), "late")
    assert frozen.matrix.count(CellState.FAILED) == 0
    assert frozen.matrix.errors == {}
