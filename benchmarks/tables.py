"""Makes benchmarks/README.md from the scripts' own descriptions and the results in benchmarks/results/.

    python benchmarks/tables.py [--check]

Every number in it comes from a JSON file there. --check writes nothing, and fails if the README is another.
"""

import argparse
import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE / "README.md"
OWN = frozenset({"benchmark", "date", "command", "machine", "tables"})
INTRODUCTION = """\
# Benchmarks

Each is a script with one command; `-h` tells its options. They run on memscope as it stands here
(`pip install -e .`) and need what the list says beside it; the model is the one that `memscope model pull`
fetches. Seeds are fixed. Figures were taken on the machine and day that stand with them;
those to be compared are of one machine and one run.

`python benchmarks/tables.py` makes this page from the scripts and `benchmarks/results/`; no number is typed.
"""


def scripts() -> Iterator[tuple[str, str, str, str]]:
    """For each benchmark its name, what it measures, its command, and the requirements that it names."""
    for path in sorted(HERE.glob("*.py")):
        source = path.read_text("utf-8")
        if path != Path(__file__) and '__name__ == "__main__"' in source:
            told = ast.get_docstring(ast.parse(source)) or ""
            called = re.search(
                rf"^ *(python benchmarks/{path.name}[^\\\n]*(\\\n[^\\\n]*)*)", told, re.MULTILINE
            )
            command = re.sub(r" *\\+\n *", " ", called[1]) if called else f"python benchmarks/{path.name}"
            needed = re.search(r"benchmarks/(requirements[\w-]*\.txt)", told)
            what = " ".join(told.split("\n\n")[0].split())
            yield path.stem, what, re.sub(r" {2,}#.*", "", command), needed[1] if needed else ""


def listing() -> str:
    """The benchmarks, and which of them have kept figures here."""
    lines = [
        "## What there is",
        "",
        "| script | measures | command | needs | figures |",
        "|---|---|---|---|---|",
    ]
    kept = {path.stem for path in (HERE / "results").glob("*.json")}
    for name, what, command, needed in scripts():
        mine = sorted(stem for stem in kept if stem == name or stem.startswith(f"{name}-"))
        figures = ", ".join(f"[{stem}](#{stem})" for stem in mine) or "run by hand, none kept here"
        cells = (
            f"`{name}.py`",
            what.replace("|", "\\|"),
            f"`{command}`".replace("|", "\\|"),
            needed,
            figures,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def section(document: dict[str, Any]) -> str:
    """What one JSON file holds."""
    machine = document.get("machine")
    if isinstance(machine, dict):
        versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
        machine = (
            f"{machine['processors']} processors ({machine['processor']}), {machine['system']}, Python"
            f" {machine['python']}; {versions}; load average when it was written {machine['load_average']}"
        )
    parts = [f"## {document['benchmark']}", f"{document.get('date', 'no date')}, {machine or 'no machine'}."]
    if "command" in document:
        parts.append(f"`{document['command']}`")
    if document.get("tables"):
        parts += [drawn(table) for table in document["tables"]]
    else:
        plain = [[name, value] for name, value in _flat(document) if name.split(".")[0] not in OWN]
        parts.append(drawn({"title": "", "columns": ["figure", ""], "rows": plain, "note": ""}))
    return "\n\n".join(parts) + "\n"


def drawn(table: dict[str, Any]) -> str:
    """A table in Markdown; numbers stand right."""
    rows = [[_cell(value) for value in row] for row in table["rows"]]
    right = [
        all(
            isinstance(row[at], int | float | None) or re.match(r"~?\d", str(row[at]))
            for row in table["rows"]
        )
        for at in range(len(table["columns"]))
    ]
    lines = [f"### {table['title']}", ""] if table["title"] else []
    lines += [f"{table['note']}", ""] if table["note"] else []
    lines.append("| " + " | ".join(map(str, table["columns"])) + " |")
    lines.append("|" + "|".join("---:" if one else "---" for one in right) + "|")
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | float) else str(value).replace("|", "\\|")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The single figures of nested objects, under dotted names; lists are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif not isinstance(value, list):
        yield name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    documents = []
    for path in sorted((HERE / "results").glob("*.json")):
        documents.append({**json.loads(path.read_text("utf-8")), "benchmark": path.stem})
    text = "\n".join([INTRODUCTION, listing(), *map(section, documents)])
    if not arguments.check:
        README.write_text(text, "utf-8")
    elif not README.exists() or README.read_text("utf-8") != text:
        raise SystemExit("benchmarks/README.md is not what tables.py makes; run python benchmarks/tables.py")


if __name__ == "__main__":
    main()
