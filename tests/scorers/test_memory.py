"""How much memory is free: the machine's, and what control groups leave of it."""

from pathlib import Path

import pytest

from memscope.scorers import memory


def group(folder: Path, limit: str, usage: int, cached: int, *, version: int = 2) -> None:
    """A control group as Linux shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else _OLD_NAMES
    for name, text in zip(names, (limit, str(usage)), strict=True):
        (folder / name).write_text(text + "\n")
    name = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 12\n{name} {cached}\nslab 7\n")


_OLD_NAMES = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def test_a_group_leaves_what_its_limit_and_those_above_it_leave(tmp_path: Path) -> None:
    group(tmp_path, "max", 900, 0)
    group(tmp_path / "a", "1000", 700, 100)
    group(tmp_path / "a" / "b", "5000", 600, 0)
    assert memory._of_groups(tmp_path, "/a/b") == 1000 - 700 + 100
    assert memory._of_groups(tmp_path, "/") > 1 << 40


def test_a_container_that_sees_its_own_group_as_the_root_is_limited_by_it(tmp_path: Path) -> None:
    group(tmp_path, "2000", 500, 0)
    assert memory._of_groups(tmp_path, "/") == 1500
    assert memory._of_groups(tmp_path, "/gone/from/sight") == 1500


def test_groups_of_the_older_version_count_too(tmp_path: Path) -> None:
    group(tmp_path / "memory" / "box", "3000", 1000, 500, version=1)
    assert memory._of_groups(tmp_path, "/box") == 2500


def test_free_memory_is_the_least_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_of_machine", lambda: 800)
    monkeypatch.setattr(memory, "_of_groups", lambda root, group: 300)
    assert memory.free_memory() == 300
    monkeypatch.setattr(memory, "_of_groups", lambda root, group: -5)
    assert memory.free_memory() == 0


def test_this_machine_has_some_memory_free() -> None:
    assert 1 << 20 < memory.free_memory() < 1 << 50


def test_a_machine_that_does_not_tell_is_taken_to_have_some(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(memory, "_read", lambda path: "")
    monkeypatch.setattr("os.sysconf", unknown)
    assert memory._of_machine() == 2 << 30
