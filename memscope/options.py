"""What several commands take, and how wide their tables are. Only names are imported here, as in `cli`."""

import shutil
from collections.abc import Callable

import click

METRICS = ("signed", "clamped", "token-clamped")

_SCORER_OPTIONS = (
    click.option(
        "--scorer",
        "kind",
        metavar="NAME",
        help="embedded, transformers, vllm, sglang, echo or score; with --url alone it is found by asking.",
    ),
    click.option("--url", help="The address of the server that scores, such as http://localhost:8000."),
    click.option(
        "--model",
        metavar="NAME|FOLDER",
        help="A model folder or an installed model; a hub name for transformers; a served name with --url.",
    ),
    click.option(
        "--tokenizer",
        metavar="NAME|FOLDER",
        help="Where the served model's tokenizer is, if the server does not tokenize.",
    ),
    click.option(
        "--concurrency", type=int, metavar="N", help="Prompts under way at once (default: by asking)."
    ),
    click.option("--timeout", type=float, metavar="SECONDS", help="For an answer once warm (default: 120)."),
    click.option(
        "--context", type=int, metavar="TOKENS", help="If the server does not tell its context length."
    ),
    click.option(
        "--kv-budget",
        metavar="SIZE",
        help="Memory for prompts kept to go on from: 2GB, 0 for none (default: a quarter of what is free).",
    ),
)
metric_option = click.option(
    "--metric",
    type=click.Choice(METRICS),
    help="How per-token drops become one divergence (default: signed).",
)
branch_option = click.option(
    "--branch", metavar="ID", help="Of a conversation that forks another branch than the live one; `?` lists."
)
fresh_option = click.option("--fresh", is_flag=True, help="Score everything again, even what is known.")


def scorer_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options that choose a scorer."""
    for option in reversed(_SCORER_OPTIONS):
        command = option(command)
    return command


def table_width() -> int:
    """The terminal's columns; 120 where there is none."""
    return shutil.get_terminal_size((120, 24)).columns
