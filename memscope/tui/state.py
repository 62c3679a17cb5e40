"""What the screen keeps between starts: a small JSON file of plain values, which nobody needs."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import platformdirs

from memscope.errors import InputError
from memscope.settings import APP, cache_dir, setting

_FILE = "screen.json"
_MOST = 65_536
"""Bytes beyond which a file is not ours."""

T = TypeVar("T")


def state_path() -> Path:
    """Where the state is kept: in the user's folder for state, or in the cache if that was moved. Raises
    InputError if the settings can't be read."""
    if setting("cache_dir"):
        return cache_dir() / _FILE
    return Path(platformdirs.user_state_dir(APP)) / _FILE


class State:
    """Texts and dataclasses of texts and numbers under names. A file that is missing, damaged, foreign or not
    to be written is as good as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values = _read(path)
        self._saved = dict(self._values)

    def text(self, name: str) -> str | None:
        """The text that was kept under a name."""
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def restore(self, name: str, settings: T) -> T:
        """A frozen dataclass with the fields that were kept under a name; what it has no field for, and what
        its fields can't hold, is left aside."""
        kept = self._values.get(name)
        if isinstance(kept, dict):
            for field in dataclasses.fields(settings):  # type: ignore[arg-type]
                now = getattr(settings, field.name)
                if type(kept.get(field.name)) in _PLAIN.get(_plain(now), ()):
                    # A member of an enumeration is made again from its value, which may be another version's.
                    with contextlib.suppress(ValueError, TypeError):
                        value = type(now)(kept[field.name])
                        settings = dataclasses.replace(settings, **{field.name: value})  # type: ignore[type-var]
        return settings

    def keep(self, name: str, value: Any) -> None:
        """Keep a text or a dataclass under a name; `save` writes it."""
        self._values[name] = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return self._values != self._saved

    def save(self) -> None:
        """Write what has changed, whole or not at all; in any thread."""
        # Only here, because the first paint does not need it.
        from memscope.export import write_file

        with self._lock:
            values = dict(self._values)
            if values == self._saved:
                return
            with contextlib.suppress(OSError, InputError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_file(self._path, msgspec.json.encode(values))
                self._saved = values


_PLAIN: dict[type, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (float, int)}


def _plain(value: object) -> type:
    """The plain type of a value, which may be a member of an enumeration."""
    return next((plain for plain in (bool, str, int, float) if isinstance(value, plain)), type(None))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = msgspec.json.decode(file.read(_MOST))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
