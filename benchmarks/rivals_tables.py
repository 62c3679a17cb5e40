"""The tables of what rivals.py measured."""

from collections.abc import Callable, Sequence
from typing import Any

from layouts import LAYOUTS
from results import table

CENTRE = ("spread", 20, 2048)
WAYS = {
    "embedded": "memscope, embedded",
    "transformers": "memscope, transformers",
    "sequential": "sequential leave-one-out, torch",
    "all logits": "the same, all logits",
    "contextcite-32": "ContextCite, 32 masks",
    "contextcite-64": "ContextCite, 64 masks",
    "captum": "Captum, feature ablation",
}


def tables(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The central point, then tokens and seconds of every way at every point."""
    made = []
    for point in points:
        if (point["layout"], point["memories"], point["tokens_wanted"]) == CENTRE:
            made.append(_central(point))
    ways = [way for way in WAYS if any(way in point["ways"] for point in points) and way != "all logits"]
    columns = ["layout", "N", "T", *(WAYS[way] for way in ways)]
    ordered = sorted(
        points, key=lambda p: (list(LAYOUTS).index(p["layout"]), p["tokens_wanted"], p["memories"])
    )

    def rows(value: Callable[[dict[str, Any]], Any]) -> list[list[Any]]:
        return [
            [p["layout"], p["memories"], p["prompt_tokens"]]
            + [value(p["ways"][way]) if way in p["ways"] else None for way in ways]
            for p in ordered
        ]

    made.append(table("Tokens through the model for a full matrix", columns, rows(lambda way: way["tokens"])))
    made.append(
        table(
            "Seconds for a full matrix",
            columns,
            rows(shown_seconds),
            "~ is computed from the seconds a token of some of the way's own prompts at that point.",
        )
    )
    return made


def _central(point: dict[str, Any]) -> dict[str, Any]:
    base = point["ways"].get("embedded", {})
    rows = []
    for way, name in WAYS.items():
        if way in point["ways"]:
            measured = point["ways"][way]
            both = base.get("seconds") and measured["seconds"]
            times = round(measured["seconds"] / base["seconds"], 2) if both else None
            rows.append([name, measured["forwards"], measured["tokens"], shown_seconds(measured), times])
    title = (
        f"{point['memories']} memories spread over {point['responses']} responses, "
        f"{point['prompt_tokens']:,} tokens"
    )
    columns = ["way", "forwards", "tokens", "seconds", "x embedded's seconds"]
    return table(title, columns, rows, f"The bound is {point['bound']:,} tokens. ~ is computed.")


def shown_seconds(measured: dict[str, Any]) -> str | None:
    if measured["seconds"] is None:
        return None
    return f"{'~' if measured['computed'] else ''}{measured['seconds']:,.1f}"
