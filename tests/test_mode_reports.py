"""The tables of the other modes and of the ledger: lines that fit, whatever stands in them."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina

from memscope.ledger import Ledger, LedgerEntry
from memscope.report import incremental_report, ledger_report, memory_report, training_report
from memscope.scoring.modes import IncrementalScore, score_incremental, score_memory, score_training
from memscope.scoring.session import Session
from memscope.text import cells
from tests.scorers_fake import TALK, HashScorer, conversation, failing, prepared

TALKED = conversation(*TALK)
WIDTHS = pytest.mark.parametrize("width", [60, 80, 120, 200])
LONG = "projects/2026/" + "deeply/nested/" * 9 + "ключ"
WIDE = conversation(
    ("東京タワー/見学の予定とメモ", "東京タワーへ行く。"),
    ("🗼👩\u200d💻/emoji", "🗼 is a tower."),
    (LONG, "A long key."),
    ("user", "What now?"),
    ("assistant", "東京タワーへ行きましょう 🗼 " * 12),
    ("late", "It rains."),
    title="題" * 90,
)
FAILING = failing(3, reason="a long reason " * 20)


def incremental(session: Session, ledger: Ledger) -> list[IncrementalScore]:
    """All results of one pass."""

    async def collect() -> list[IncrementalScore]:
        return [score async for score in score_incremental(session, ledger, max_age=0, window=2)]

    return asyncio.run(collect())


def assert_fits(text: str, width: int) -> None:
    lines = text.splitlines()
    assert max(map(cells, lines)) <= width
    assert not any(line.endswith(" ") for line in lines)
    assert text.endswith("\n")


@WIDTHS
@pytest.mark.parametrize("scorer", [HashScorer(), HashScorer(answer=failing(2, reason="a reason " * 40))])
def test_no_line_on_one_memory_is_wider_than_asked(tmp_path: Path, width: int, scorer: HashScorer) -> None:
    session = prepared(WIDE, tmp_path, scorer)
    with stamina.set_testing(True, attempts=1):
        score = asyncio.run(score_memory(session, LONG))
    assert_fits(memory_report(session, score, width), width)
    session.close()


@WIDTHS
def test_no_line_on_what_was_due_is_wider_than_asked(tmp_path: Path, width: int) -> None:
    session = prepared(WIDE, tmp_path, HashScorer(answer=FAILING))
    ledger = Ledger(tmp_path / "scores.sqlite")
    with stamina.set_testing(True, attempts=1):
        results = incremental(session, ledger)
    assert len({result.outcome for result in results}) == 3
    assert_fits(incremental_report(session, results, ["a note " * 40], width), width)
    ledger.close()
    session.close()


@WIDTHS
def test_no_line_on_training_is_wider_than_asked(tmp_path: Path, width: int) -> None:
    session = prepared(WIDE, tmp_path)
    assert_fits(training_report(session, asyncio.run(score_training(session, 50)), width), width)
    session.close()


@WIDTHS
@pytest.mark.parametrize("key", ["a", LONG, "東京タワー/見学の予定とメモ"])
@pytest.mark.parametrize("model", ["m", "organisation/a-model-with-a-very-long-name-Instruct-GGUF"])
def test_no_line_of_the_ledger_is_wider_than_asked(width: int, key: str, model: str) -> None:
    now = datetime(2026, 3, 6, tzinfo=UTC)
    entry = LedgerEntry(key, model, -12345.678, 12345.678, now - timedelta(days=9999), 99_999, "talk.jsonl")
    assert_fits(ledger_report([entry, entry], now, width), width)


def test_values_within_noise_are_marked(tmp_path: Path) -> None:
    session = prepared(TALKED, tmp_path, HashScorer(noise_floor=1000))
    ledger = Ledger(tmp_path / "scores.sqlite")
    marked = "~ marks values below 3 times the noise of their response (at most 1e+03 nats)."
    for text, values in (
        (memory_report(session, asyncio.run(score_memory(session, "diet")), 120), 3),
        (incremental_report(session, incremental(session, ledger), [], 120), 2),
        (training_report(session, asyncio.run(score_training(session, 50)), 120), 3),
    ):
        assert text.endswith(f"\n\n{marked}\n")
        assert text.count("~") == values + 1
    ledger.close()
    session.close()


def test_notes_stand_at_the_end(tmp_path: Path) -> None:
    session = prepared(TALKED, tmp_path)
    ledger = Ledger(tmp_path / "scores.sqlite")
    text = incremental_report(session, incremental(session, ledger), ["The first.", "The second."], 120)
    assert text.endswith("\n\nThe first.\n\nThe second.\n")
    ledger.close()
    session.close()
