"""Settings: flags first, then `MEMSCOPE_*` variables, then `config.toml` in the configuration folder."""

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from memscope.errors import InputError

APP = "memscope"


@dataclass(frozen=True)
class ScorerChoice:
    """Which scorer is to be used, and how; None where nothing was said.

    `kind` is a scorer's name, `url` a server's address, `model` a name or a folder, `tokenizer` likewise if
    it is not the model's own; `concurrency` requests at once, `timeout` in seconds, `context` in tokens,
    `kv_budget` in bytes.
    """

    kind: str | None = None
    url: str | None = None
    model: str | None = None
    tokenizer: str | None = None
    concurrency: int | None = None
    timeout: float | None = None
    context: int | None = None
    kv_budget: int | None = None
    api_key: str | None = field(default=None, repr=False)
    warning: str | None = None
    """What the user should know about these settings, a sentence."""


def config_path() -> Path:
    """Where the user's configuration is read from."""
    return Path(platformdirs.user_config_dir(APP)) / "config.toml"


def setting(name: str, default: str | None = None) -> str | None:
    """A setting's text from `MEMSCOPE_<NAME>` or the configuration file.

    Raises InputError if the file is damaged or holds something else than text there.
    """
    value = _value(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{config_path()}: `{name}` must be text, not {type(value).__name__}.")
    return default if value is None else value


def configured(name: str) -> Any:
    """What the configuration file holds under a name, as TOML gives it; None if nothing.

    Raises InputError if the file is damaged.
    """
    return _configuration().get(name)


def scorer_choice(**flags: Any) -> ScorerChoice:
    """The choice of a scorer: `flags` that are not None first, then settings of the same names (`kind` is the
    setting `scorer`).

    Raises InputError naming the setting that can't be.
    """

    def chosen(name: str, setting_name: str) -> Any:
        return flags[name] if flags.get(name) is not None else setting(setting_name)

    api_key, warning = _api_key()
    return ScorerChoice(
        kind=chosen("kind", "scorer"),
        url=chosen("url", "url"),
        model=chosen("model", "model"),
        tokenizer=chosen("tokenizer", "tokenizer"),
        concurrency=_whole(flags, "concurrency"),
        timeout=_number(flags, "timeout"),
        context=_whole(flags, "context"),
        kv_budget=_size(flags, "kv_budget"),
        api_key=api_key,
        warning=warning,
    )


def _whole(flags: dict[str, Any], name: str) -> int | None:
    value = _number(flags, name)
    if value is not None and value != int(value):
        raise InputError(f"The setting `{name}` is {value:g}; it must be a whole number.")
    return None if value is None else int(value)


def _size(flags: dict[str, Any], name: str) -> int | None:
    """A number of bytes, 0 or more, with a unit or without."""
    value = flags[name] if flags.get(name) is not None else _value(name)
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(?:([KMGT])(i?)B?|B)?", str(value).strip(), re.IGNORECASE)
    if found is None:
        raise InputError(f"The setting `{name}` is {value!r}; it must be a size such as 2GB, 512MB or 0.")
    power = "KMGT".index(found[2].upper()) + 1 if found[2] else 0
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def _number(flags: dict[str, Any], name: str) -> float | None:
    """A number above zero."""
    value = flags[name] if flags.get(name) is not None else _value(name)
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) and value is not True else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise InputError(f"The setting `{name}` is {value!r}; it must be a number above zero.")
    return number


def _api_key() -> tuple[str | None, str | None]:
    """The key for a server, and a warning if others can read the file that it stands in.

    Raises InputError, which never shows the key.
    """
    if from_environment := os.environ.get("MEMSCOPE_API_KEY"):
        return _sendable(from_environment, "MEMSCOPE_API_KEY"), None
    key = _configuration().get("api_key")
    if key is None:
        return None, None
    path = config_path()
    if not isinstance(key, str):
        raise InputError(f"{path}: `api_key` must be text.")
    warning = None
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warning = f"Others can read the key in {path}; run `chmod 600` on that file."
    return _sendable(key, f"`api_key` in {path}"), warning


def _sendable(key: str, where: str) -> str:
    """The key without white space around it; raises InputError if no request can carry it."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(f"{where} is not a key that can be sent: it must be printable ASCII text.")
    return key


def cache_dir() -> Path:
    """The folder of models and scores; `cache_dir` in the settings moves it. Raises InputError."""
    chosen = setting("cache_dir")
    if chosen and "\0" in chosen:
        raise InputError(f"{config_path()}: `cache_dir` holds a null character.")
    try:
        return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir(APP))
    except RuntimeError as error:
        raise InputError(f"The cache folder {chosen} has no home folder to stand in.") from error


def session_folders() -> tuple[Path, ...]:
    """The setting `session_folders`: where else to look for sessions. Raises InputError."""
    chosen = _configuration().get("session_folders", [])
    if not isinstance(chosen, list) or not all(isinstance(one, str) and one.strip() for one in chosen):
        raise InputError(f"{config_path()}: `session_folders` must be a list of folders, each of them text.")
    return tuple(Path(os.path.expanduser(one)) for one in chosen)


def _value(name: str) -> Any:
    """`MEMSCOPE_<NAME>` if it is set, else what the configuration file holds."""
    return os.environ.get(f"MEMSCOPE_{name.upper()}") or _configuration().get(name)


def _configuration() -> dict[str, Any]:
    path = config_path()
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"The configuration {path} can't be read: {reason}.") from error
