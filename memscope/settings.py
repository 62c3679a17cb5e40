"""Settings: flags first, then `MEMSCOPE_*` variables, then `config.toml` in the configuration folder."""

import os
import tomllib
from pathlib import Path
from typing import Any

import platformdirs

from memscope.errors import InputError

APP = "memscope"


def config_path() -> Path:
    """Where the user's configuration is read from."""
    return Path(platformdirs.user_config_dir(APP)) / "config.toml"


def setting(name: str, default: str | None = None) -> str | None:
    """A setting's text from `MEMSCOPE_<NAME>` or the configuration file.

    Raises InputError if the file is damaged or holds something else than text there.
    """
    from_environment = os.environ.get(f"MEMSCOPE_{name.upper()}")
    if from_environment:
        return from_environment
    value = _configuration().get(name, default)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{config_path()}: `{name}` must be text, not {type(value).__name__}.")
    return value


def cache_dir() -> Path:
    """The folder of models and scores; `cache_dir` in the settings moves it. Raises InputError."""
    chosen = setting("cache_dir")
    if chosen and "\0" in chosen:
        raise InputError(f"{config_path()}: `cache_dir` holds a null character.")
    try:
        return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir(APP))
    except RuntimeError as error:
        raise InputError(f"The cache folder {chosen} has no home folder to stand in.") from error


def _configuration() -> dict[str, Any]:
    path = config_path()
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"The configuration {path} can't be read: {reason}.") from error
