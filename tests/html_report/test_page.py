"""The HTML report as a file: what stands in it, what it may load, and what was left out of it."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina

from memscope.errors import InputError
from memscope.html_report import to_html
from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session
from tests.scorers_fake import TALK, HashScorer, conversation, failing, prepared, reference, scored

TALKED = conversation(*TALK)
NASTY = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=//example.invalid/x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a\u2028b\u2029c",
    "\x1b[31mred\x00",
    "\ud800 half a pair",
    "right \u202eto left",
    "&lt;b&gt; 東京 🍜",
)


class Page(HTMLParser):
    """Elements with their attributes, and what stands in them."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts.append((self._inside, data))

    def within(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]

    @property
    def policy(self) -> str:
        (found,) = [
            a["content"] for _, a in self.elements if a.get("http-equiv") == "Content-Security-Policy"
        ]
        assert found is not None
        return found

    @property
    def report(self) -> dict[str, Any]:
        data, _ = self.within("script")
        found: dict[str, Any] = json.loads(data)
        return found


def opened(cache: Path, *messages: tuple[str, str], **others: Any) -> Session:
    """Scored, and its store still open."""
    talk = conversation(*messages)
    scored(talk, cache, **others)
    return prepared(talk, cache, **others)


def page(session: Session, **others: Any) -> Page:
    return Page(to_html(session, **others))


def test_the_numbers_are_those_of_the_matrix(tmp_path: Path) -> None:
    report = page(opened(tmp_path, *TALK)).report
    rows, _ = reference(TALKED)
    assert report["states"] == ["333", "033"]
    assert report["values"] == [
        pytest.approx(rows[0], abs=6e-4),
        pytest.approx(rows[1][1:], abs=6e-4),
    ]
    assert [memory["weight"] for memory in report["memories"]] == [
        pytest.approx(sum(rows[0]), abs=6e-4),
        pytest.approx(sum(rows[1][1:]), abs=6e-4),
    ]
    assert [response["entry"] for response in report["responses"]] == [3, 6, 9]
    assert [memory["text"] for memory in report["memories"]] == [
        "Nora lives in Bergen.\n\nNora lives near the quay.",
        "Nora cannot eat peanuts.",
    ]


def test_the_tokens_of_a_cell_add_up_to_it_and_to_the_response(tmp_path: Path) -> None:
    report = page(opened(tmp_path, *TALK)).report
    assert list(report["details"]) == ["0", "1", "2"]
    for name, detail in report["details"].items():
        assert "".join(detail["texts"]) == report["responses"][int(name)]["text"]
        for memory, without in detail["without"].items():
            column = int(name) - report["states"][int(memory)].count("0")
            drop = sum(detail["with_all"]) - sum(without)
            assert drop == pytest.approx(report["values"][int(memory)][column], abs=0.02)
    assert sorted(report["details"]["0"]["without"]) == ["0"]
    assert sorted(report["details"]["1"]["without"]) == ["0", "1"]


def test_the_head_says_what_scored_it_how_and_at_what_cost(tmp_path: Path) -> None:
    head = page(opened(tmp_path, *TALK, metric=Metric.CLAMPED)).report["head"]
    assert (head["title"], head["file"], head["scorer"], head["metric"]) == (
        *("talk", "talk.jsonl", "hash fake", "clamped"),
    )
    assert head["noise"] == 1e-6
    assert head["cost"].endswith("5 cells known before")


def test_cells_that_failed_are_pending_or_impossible_have_no_number(tmp_path: Path) -> None:
    with stamina.set_testing(True, attempts=2, cap=True):
        broken = scored(TALKED, tmp_path / "broken", HashScorer(answer=failing(2, 3)))
    report = page(broken).report
    assert report["states"] == ["444", "033"]
    assert [len(row) for row in report["values"]] == [0, 2]
    assert report["memories"][0]["weight"] is None
    assert report["memories"][0]["error"] == "the server fell over"

    report = page(prepared(TALKED, tmp_path / "fresh")).report
    assert report["states"] == ["111", "011"]
    assert report["values"] == [[], []]
    assert report["details"] == {}
    assert {response["dependence"] for response in report["responses"]} == {None}


def test_a_scorer_of_totals_leaves_no_tokens(tmp_path: Path) -> None:
    def total(number: int, request: Any, score: Any) -> Any:
        return type(score)(score.span, score.logprobs.sum(keepdims=True))

    session = opened(tmp_path, *TALK, scorer=HashScorer(per_token=False, answer=total))
    report = page(session).report
    assert report["head"]["per_token"] is False
    assert report["details"] == {}
    assert [len(row) for row in report["values"]] == [3, 2]
    assert report["responses"][0]["text"] == "You start from Bergen."


class TestBudget:
    """Tokens of the strongest cells only, where not all fit."""

    @pytest.mark.parametrize("budget", [0, 19, 20, 30, 45, 1000])
    def test_it_is_kept_and_used_for_the_largest_divergences(self, tmp_path: Path, budget: int) -> None:
        session = opened(tmp_path, *TALK)
        details = page(session, budget=budget).report["details"]
        spent = sum(len(detail["with_all"]) * (1 + len(detail["without"])) for detail in details.values())
        assert spent <= budget
        held = {(int(m), int(r)) for r, detail in details.items() for m in detail["without"]}
        values = np.abs(session.matrix.values(Metric.SIGNED))
        strongest = sorted(zip(*np.nonzero(~np.isnan(values)), strict=True), key=lambda at: -values[at])
        assert held == set(strongest[: len(held)])
        assert len(held) == {0: 0, 19: 0, 20: 1, 1000: 5}.get(budget, len(held))

    def test_a_response_without_tokens_still_has_its_text(self, tmp_path: Path) -> None:
        report = page(opened(tmp_path, *TALK), budget=0).report
        assert report["head"]["budget"] == 0
        assert [response["text"] for response in report["responses"]] == [
            "You start from Bergen.",
            "Skip the satay sauce.",
            "Walk home along the quay.",
        ]


class TestSafety:
    """Whatever a conversation says, the page is the same page with other texts in it."""

    @pytest.fixture
    def nasty(self, tmp_path: Path) -> Page:
        messages = [
            *((text, text) for text in NASTY),
            ("user", " ".join(NASTY)),
            ("assistant", " ".join(NASTY)),
        ]
        talk = conversation(*messages, title=NASTY[0], path=f"{NASTY[2]}.jsonl")
        scored(talk, tmp_path)
        return page(prepared(talk, tmp_path))

    def test_no_element_and_no_attribute_comes_from_it(self, nasty: Page, tmp_path: Path) -> None:
        ordinary = page(prepared(TALKED, tmp_path / "other"))
        assert nasty.elements == ordinary.elements
        assert nasty.policy == ordinary.policy

    def test_its_texts_arrive_as_texts(self, nasty: Page) -> None:
        keys = [memory["key"] for memory in nasty.report["memories"]]
        assert keys[:4] == list(NASTY[:4])
        assert keys[4:8] == [
            "a⟨U+2028⟩b⟨U+2029⟩c",
            "␛[31mred␀",
            "\ufffd half a pair",
            "right ⟨U+202E⟩to left",
        ]
        assert keys[8] == NASTY[8]
        assert "".join(nasty.within("title")).startswith(NASTY[0])

    def test_nothing_in_the_data_can_end_the_script_it_stands_in(self, nasty: Page) -> None:
        data, _ = nasty.within("script")
        assert not set("<>&\u2028\u2029") & set(data)

    def test_the_policy_knows_this_script_and_this_style_and_no_address(self, nasty: Page) -> None:
        def digest(text: str) -> str:
            return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

        (style,), (_, script) = nasty.within("style"), nasty.within("script")
        assert nasty.policy.split("; ") == [
            "default-src 'none'",
            f"script-src 'sha256-{digest(script)}'",
            f"style-src 'sha256-{digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]

    def test_nothing_is_loaded_from_anywhere(self, nasty: Page) -> None:
        attributes = {name for _, found in nasty.elements for name in found}
        assert not attributes & {"src", "href", "srcset", "action", "style"}
        assert not any(name.startswith("on") for name in attributes)
        (style,), (_, script) = nasty.within("style"), nasty.within("script")
        assert "url(" not in style
        assert "@import" not in style
        for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch(", "http"):
            assert way not in script


def test_a_session_that_is_not_prepared_can_not_be_exported() -> None:
    with pytest.raises(InputError, match=r"^There is nothing to export yet"):
        to_html(Session(TALKED))
