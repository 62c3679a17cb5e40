"""The HTML report in a real browser: a click through the drill-down, keys, and nothing run or loaded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from memscope.export import export
from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session
from tests.browser import CHROMIUM, Browser, chromium
from tests.scorers_fake import TALK, HashScorer, conversation, failing, prepared, scored

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
TALKED = conversation(*TALK)
ATTACK = (
    "</script><script>document.title='run'</script><img src=http://example.invalid/x.png onerror=alert(1)>"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def show(browser: Browser, session: Session, folder: Path) -> None:
    """Export, and open what was written."""
    export(session, folder / "report.html")
    browser.requests.clear()
    browser.open((folder / "report.html").as_uri())
    assert browser.requests == [(folder / "report.html").as_uri()]
    assert browser.complaints == []


def text(browser: Browser, name: str) -> str:
    found = browser.run(f"document.getElementById('{name}').textContent")
    assert isinstance(found, str)
    return found


def click(browser: Browser, row: int, response: int) -> None:
    """Click on a cell, by its place from the top left."""
    x, y = browser.run(
        "(box => [box.left + 1 + gutter(), box.top + 1 + HEADER])"
        "(document.getElementById('heatmap').getBoundingClientRect())"
    )
    browser.click(x + 22 * response + 10, y + 22 * row + 10)


def test_a_click_on_a_cell_shows_its_words_and_its_memory(browser: Browser, tmp_path: Path) -> None:
    scored(TALKED, tmp_path)
    session = prepared(TALKED, tmp_path)
    show(browser, session, tmp_path)
    weights = session.matrix.weights(Metric.SIGNED)
    row = int(weights[1] < weights[0])
    value = float(session.matrix.values(Metric.SIGNED)[1, 2])

    click(browser, row, 2)

    told = f"{'+' if value > 0 else '−'}{abs(value):.2f} nats"
    assert text(browser, "cell").startswith(f"diet × r3: {told}")
    assert text(browser, "drill-title") == "r3 · entry 9 · 10 tokens"
    assert text(browser, "tokens") == "Walk home along the quay."
    assert text(browser, "memory-title") == "diet · entry 4"
    assert text(browser, "memory-text") == "Nora cannot eat peanuts."
    assert browser.run("document.querySelectorAll('#tokens span').length") == 10

    shared = browser.run("Array.from(document.querySelectorAll('#memory-text u'), (u) => u.textContent)")
    assert shared == []

    browser.run("document.querySelector('#tokens span').click()")
    assert text(browser, "token").startswith('Token 1 of 10 "Walk": log-probability −')
    assert text(browser, "token").endswith(" nats")
    drops = session.response_tokens(2)
    assert drops is not None
    assert f"−{abs(float(drops[1][0])):.2f} with all memories" in text(browser, "token")


def test_words_of_the_memory_that_are_coloured_in_the_response_are_underlined(
    browser: Browser, tmp_path: Path
) -> None:
    scored(TALKED, tmp_path)
    show(browser, prepared(TALKED, tmp_path), tmp_path)
    browser.run("goTo(0, 2)")
    shared = browser.run("Array.from(document.querySelectorAll('#memory-text u'), (u) => u.textContent)")
    assert shared
    assert set(shared) <= {"the", "quay"}


def test_keys_move_and_enter_opens(browser: Browser, tmp_path: Path) -> None:
    scored(TALKED, tmp_path)
    show(browser, prepared(TALKED, tmp_path), tmp_path)
    click(browser, 0, 0)
    browser.press("ArrowRight")
    browser.press("ArrowDown")
    before = text(browser, "drill-title")
    assert " × r2: " in text(browser, "cell")
    assert before == "r1 · entry 3 · 8 tokens"
    browser.press("Enter")
    assert text(browser, "drill-title") == "r2 · entry 6 · 8 tokens"
    assert browser.run("document.activeElement.id") == "heatmap"


def test_rows_are_sorted_and_filtered(browser: Browser, tmp_path: Path) -> None:
    scored(TALKED, tmp_path)
    show(browser, prepared(TALKED, tmp_path), tmp_path)

    def rows(script: str) -> object:
        return browser.run(f"{script}; sortRows(); order.map((m) => memories[m].key)")

    assert rows("document.getElementById('sort').value = 'key'") == ["diet", "home"]
    assert rows("document.getElementById('sort').value = 'conversation'") == ["home", "diet"]
    assert rows("document.getElementById('filter').value = 'DIE'") == ["diet"]
    assert text(browser, "count") == "1 of 2 memories"


def test_what_has_no_number_says_so(browser: Browser, tmp_path: Path) -> None:
    with stamina.set_testing(True, attempts=2, cap=True):
        show(browser, scored(TALKED, tmp_path / "cache", HashScorer(answer=failing(2, 3))), tmp_path)
    assert "3 cells are failed and in no sum." in text(browser, "notes")
    browser.run("goTo(0, 1)")
    assert text(browser, "cell") == "home × r2: failed: the server fell over"
    browser.run("goTo(1, 0)")
    assert text(browser, "cell") == "diet × r1: impossible: this memory enters after the response"
    assert "failed" in text(browser, "legend")
    assert browser.run("Number.isNaN(values[1])")


def test_before_anything_is_scored_it_opens_too(browser: Browser, tmp_path: Path) -> None:
    show(browser, prepared(TALKED, tmp_path / "cache"), tmp_path)
    assert text(browser, "cell") == "home × r1: not scored"
    assert browser.run("document.getElementById('drill').hidden")


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([("fact", "It rains."), ("user", "Hello")], "The conversation has no responses."),
        ([("user", "Hello"), ("assistant", "Hello.")], "The conversation has no memories."),
    ],
)
def test_without_rows_or_columns_it_says_so(
    browser: Browser, tmp_path: Path, messages: list[tuple[str, str]], sentence: str
) -> None:
    show(browser, prepared(conversation(*messages), tmp_path / "cache"), tmp_path)
    assert text(browser, "cell") == sentence


def test_nothing_in_a_transcript_runs_or_loads(browser: Browser, tmp_path: Path) -> None:
    talk = conversation((ATTACK, ATTACK), ("user", ATTACK), ("assistant", ATTACK), title=ATTACK)
    scored(talk, tmp_path / "cache")
    show(browser, prepared(talk, tmp_path / "cache"), tmp_path)
    assert text(browser, "title") == ATTACK
    assert text(browser, "tokens") == ATTACK
    assert text(browser, "memory-text") == ATTACK
    assert browser.run("document.title") == f"{ATTACK} · memscope"
    assert browser.run("document.images.length") == 0
