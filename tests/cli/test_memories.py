"""`memscope sessions --memories`: which memories memscope finds in a file, and by what rule."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def write(path: Path, *entries: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def marked(tmp_path: Path) -> Path:
    return write(
        tmp_path / "talk.jsonl",
        {"role": "system", "content": "Know: <memory key='home/city'>Lives in\n\x1b[31mLyon.</memory>"},
        {"role": "user", "content": "Allergic to peanuts.", "memory_key": "diet"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Moved.", "memory_key": "home/city"},
    )


def test_every_place_is_a_line_with_key_place_rule_and_text(run: Run, tmp_path: Path) -> None:
    outcome = run("sessions", "--memories", marked(tmp_path))

    assert outcome.status == 0
    assert [line.split(maxsplit=4) for line in outcome.out.splitlines()] == [
        ["memory", "entry", "role", "characters", "rule        text"],
        ["home/city", "0", "system", "6-58", "memory tag  Lives in ␛[31mLyon."],
        ["home/city", "3", "user", "0-6", "memory_key  Moved."],
        ["diet", "1", "user", "0-20", "memory_key  Allergic to peanuts."],
    ]
    assert len({line.index(word) for line, word in zip(
        outcome.out.splitlines(), ("text", "Lives", "Moved", "Allergic"), strict=True
    )}) == 1  # fmt: skip


def test_json_holds_the_same(run: Run, tmp_path: Path) -> None:
    document = json.loads(run("sessions", "--memories", marked(tmp_path), "--json").out)

    assert document["schema"] == "memscope.memories/1"
    assert [memory["key"] for memory in document["memories"]] == ["home/city", "diet"]
    assert document["memories"][0]["places"][0] == {
        "entry": 0,
        "role": "system",
        "span": [6, 58],
        "inner": [30, 49],
        "rule": "memory tag",
        "beginning": "Lives in ␛[31mLyon.",
    }


def test_a_file_without_memories_says_how_to_mark_them(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "talk.jsonl", {"role": "user", "content": "Hi"})
    outcome = run("sessions", "--memories", path)

    assert (outcome.status, outcome.out) == (0, "")
    assert "holds no memories." in outcome.err
    assert "memory_key" in outcome.err


def test_the_users_rules_are_applied_and_a_bad_one_refused(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config" / "memscope" / "config.toml"
    config.parent.mkdir(parents=True)
    path = write(tmp_path / "talk.jsonl", {"role": "user", "content": "Fact: Lives in Lyon."})

    config.write_text("memory_rules = [{name = 'facts', pattern = 'Fact: (?P<text>.*)'}]")
    assert " facts  Lives in Lyon." in run("sessions", "--memories", path).out

    config.write_text("memory_rules = [{name = 'facts', pattern = 'Fact: .*'}]")
    for command in (["sessions", "--memories"], ["score"]):
        outcome = run(*command, path)
        assert outcome.status == 2
        assert f"{config}: memory rule 'facts' has a `pattern` without" in outcome.err
