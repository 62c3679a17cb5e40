"""The user's own memory rules: what they find, how they are refused, and that none can hang."""

import json
import time
import tomllib
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from memscope.conversation.model import Entry, Role, Source
from memscope.conversation.readers import build_conversation
from memscope.conversation.rules import PACK, Finder, Rule, load_rules
from memscope.conversation.rules.json_spans import parse_path
from memscope.conversation.rules.user import read_rules
from memscope.errors import InputError
from tests.conversation.rules.found import entry, keys, places, said, without

NOTES = r"""
[[memory_rules]]
name = "notes"
roles = ["system", "user"]
pattern = '''\[note (?P<key>\w+)\] (?P<text>.*)'''
"""
CRM = """
[[memory_rules]]
name = "crm"
tool = "crm_*"
items = "result.people[*]"
key = "id"
text = "profile.summary"
"""
PEOPLE = [{"id": 1, "profile": {"summary": "Ada"}}, {"id": "b", "profile": {"summary": "Bob"}}, {"id": 3}]


def rules(toml: str) -> tuple[Rule, ...]:
    return (*read_rules(tomllib.loads(toml)["memory_rules"], "config.toml"), *PACK)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of its own."""
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda app: str(tmp_path))
    return tmp_path / "config.toml"


def test_a_pattern_finds_its_text_and_is_left_out_as_a_whole() -> None:
    given = entry("Hi [note a] x\n[note b] y\n", Role.USER)

    assert said(given, rules(NOTES)) == [("a", "x"), ("b", "y")]
    assert without(given, 0, rules=rules(NOTES)) == "Hi \n[note b] y\n"
    assert {place.rule for _, place in places(given, rules(NOTES))} == {"notes"}


def test_a_pattern_applies_to_the_roles_that_it_names() -> None:
    assert keys(entry("[note a] x", Role.TOOL), rules(NOTES)) == []
    everywhere = NOTES.replace('roles = ["system", "user"]', "")
    assert keys(entry("[note a] x", Role.TOOL), rules(everywhere)) == ["a"]
    assert keys(entry("[note a] x", Role.ASSISTANT), rules(everywhere)) == []


def test_without_a_key_a_memory_is_known_by_the_rule_and_its_text() -> None:
    toml = r"""memory_rules = [{name = "plain", pattern = 'Fact: (?P<text>[^.]*)\.?'}]"""
    assert keys(entry("Fact: x. Fact: x. Fact: . Fact: y."), rules(toml)) == [
        "plain#2d711642",
        "plain#2d711642",
        "plain#a1fce436",
    ]


def test_a_tool_rule_follows_its_paths() -> None:
    text = json.dumps({"result": {"people": PEOPLE}})
    given = entry(text, Role.TOOL, "crm_lookup")

    assert said(given, rules(CRM)) == [("1", "Ada"), ("b", "Bob")]
    assert json.loads(without(given, 0, rules=rules(CRM))) == {"result": {"people": PEOPLE[1:]}}
    assert json.loads(without(given, 0, 1, rules=rules(CRM))) == {"result": {"people": PEOPLE[2:]}}
    assert keys(entry(text, Role.TOOL, "other"), rules(CRM)) == []


@pytest.mark.parametrize(
    "text", ["", "plain", "[1]", '{"result": 1}', '{"result": {"people": {"0": {}}}}', "[" * 9999]
)
def test_a_path_that_leads_nowhere_finds_nothing(text: str) -> None:
    assert keys(entry(text, Role.TOOL, "crm_x"), rules(CRM)) == []


def test_a_tool_rule_without_paths_takes_the_whole_result() -> None:
    toml = 'memory_rules = [{name = "all", tool = "x"}]'
    given = entry('{"a": [1]}', Role.TOOL, "x")
    assert [text for _, text in said(given, rules(toml))] == ['{"a": [1]}']
    assert without(given, rules=rules(toml)) == ""


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("", ()),
        ("$", ()),
        ("a", ("a",)),
        ("$.a.b", ("a", "b")),
        ("a.b[*].c", ("a", "b", None, "c")),
        ("[0][*]", (0, None)),
        ("$[*].a-b", (None, "a-b")),
    ],
)
def test_paths_are_fields_indexes_and_stars(path: str, steps: Any) -> None:
    assert parse_path(path) == steps


def test_the_users_rules_go_first_and_take_what_they_find() -> None:
    toml = r"""memory_rules = [{name = "mine", pattern = '<memory key=a>(?P<text>.*?)</memory>'}]"""
    given = entry("<memory key=a>x</memory> <memory key=b>y</memory>")

    assert [place.rule for _, place in places(given, rules(toml))] == ["mine", "memory tag"]


def test_of_overlapping_matches_the_rule_that_stands_first_has_its_way() -> None:
    toml = r"""
    memory_rules = [{name = "one", pattern = 'b(?P<text>c)'}, {name = "two", pattern = '(?P<text>.)'}]"""
    given = entry("abcd")
    assert [place.rule for _, place in places(given, rules(toml))] == ["two", "one", "two"]
    assert [text for _, text in said(given, rules(toml))] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("memory_rules = 1", "config.toml: `memory_rules` must be tables"),
        ("memory_rules = [1]", "config.toml: `memory_rules` must be tables"),
        (NOTES + "colour = 1", "memory rule 'notes' can't be used: Object contains unknown field `colour`"),
        (
            NOTES.replace('"user"', '"assistant"'),
            "can't be used: Invalid enum value 'assistant'",
        ),
        (NOTES.replace('"notes"', "1"), "memory rule 1 can't be used: Expected `str`, got `int`"),
        (NOTES.replace('"notes"', '" "'), "memory rule 1 needs a `name`"),
        (
            NOTES.replace('name = "notes"', ""),
            "memory rule 1 can't be used: Object missing required field `name`",
        ),
        (
            NOTES.replace("(?P<text>", "("),
            "memory rule 'notes' has a `pattern` without the group (?P<text>...)",
        ),
        (
            NOTES.replace("(?P<text>", "(?P<text"),
            "memory rule 'notes' has a `pattern` that can't be compiled",
        ),
        (NOTES + 'tool = "x"', "memory rule 'notes' must have either a `pattern` or a `tool`"),
        ('[[memory_rules]]\nname = "x"', "memory rule 'x' must have either a `pattern` or a `tool`"),
        (
            CRM.replace("people[*]", "people[x]"),
            "memory rule 'crm': `items` is 'result.people[x]'; it must be",
        ),
        (CRM.replace('"id"', '"a..b"'), "memory rule 'crm': `key` is 'a..b'; it must be"),
        (NOTES + CRM.replace('"crm_*"', "1"), "memory rule 'crm' can't be used: Expected `str`, got `int`"),
    ],
)
def test_a_bad_rule_is_one_sentence_that_names_file_and_rule(toml: str, problem: str) -> None:
    with pytest.raises(InputError) as raised:
        rules(toml)

    sentence = str(raised.value)
    assert problem in sentence
    assert sentence.startswith("config.toml: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_rules_come_from_the_configuration_before_those_of_memscope(config: Path) -> None:
    assert load_rules() == PACK
    config.write_text(NOTES + CRM)

    assert [rule.name for rule in load_rules()] == ["notes", "crm", *(rule.name for rule in PACK)]


def test_a_bad_rule_in_the_configuration_names_that_file(config: Path) -> None:
    config.write_text(NOTES + "colour = 1")
    with pytest.raises(InputError, match=r"config\.toml: memory rule 'notes'"):
        load_rules()


@pytest.mark.parametrize("pattern", [r"(?P<text>(a+)+)$", r"(?P<text>[^c]*c|a)", r"(?=(a+)+c)(?P<text>a)"])
def test_a_pattern_that_would_hang_is_noted_and_passed_over(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memscope.conversation.rules.finder._SECONDS", 0.2)
    slow = rules(f"memory_rules = [{{name = 'slow', pattern = '''{pattern}'''}}]")
    hostile = "a" * 50_000 + "b<memory key=k>x</memory>"
    entries = [Entry(Role.SYSTEM, f"{hostile}{number}") for number in range(50)]
    began = time.process_time()

    conversation = build_conversation(entries, Source("log", "native", "log"), Finder(slow))

    assert time.process_time() - began < 3
    assert len(conversation.memories[0].places) == 50
    assert conversation.source.notes == (
        "the memory rule 'slow' took too long and was not applied from entry 0 on",
    )


def test_many_texts_that_take_a_little_too_long_each_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memscope.conversation.rules.finder._SECONDS", 0.3)
    finder = Finder(rules("memory_rules = [{name = 'slow', pattern = '(?P<text>[^c]*c|a)'}]"))
    began = time.process_time()

    finder.find(Entry(Role.SYSTEM, "a" * 4000 + str(number)) for number in range(1000))

    assert time.process_time() - began < 2
    assert finder.notes
