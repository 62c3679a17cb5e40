"""Where benchmarks keep what they measured: one JSON file each, from which tables.py makes the README."""

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
_PACKAGES = ("memscope", "numpy", "torch", "transformers", "context-cite", "captum")


def use_processors(count: int) -> None:
    """Hold this process, and every thread it starts, to `count` processors, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-count:])


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    versions = {}
    for package in _PACKAGES:
        if package.replace("-", "_") in sys.modules:
            versions[package] = importlib.metadata.version(package)
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = ""
) -> dict[str, Any]:
    """A table for the README: the first column is a name, numbers are written with thousands separated."""
    return {"title": title, "columns": list(columns), "rows": [list(row) for row in rows], "note": note}


def _told(argument: str) -> str:
    """An argument of the command line; of a path only the name."""
    return Path(argument).name if "/" in argument and Path(argument).is_absolute() else argument


def keep(figures: dict[str, Any], tables: Sequence[dict[str, Any]] = ()) -> None:
    """Write the figures of the benchmark that runs to `results/`, under its own name."""
    write(FOLDER / f"{Path(sys.argv[0]).stem}.json", figures, tables)


def write(path: Path, figures: dict[str, Any], tables: Sequence[dict[str, Any]]) -> None:
    """Write a benchmark's figures, its tables for the README, the machine and the date; replaces the file
    whole."""
    document = {
        "benchmark": path.stem,
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(_told, sys.argv[1:])]),
        "machine": machine(),
        "tables": list(tables),
        **figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)
