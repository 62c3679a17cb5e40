"""The command line. Only names are imported here, so that `--help` answers at once."""

import asyncio
import io
import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memscope.errors import InputError, MemscopeError, NothingToScoreError
from memscope.options import branch_option, fresh_option, metric_option, scorer_options, table_width
from memscope.score_command import Mode, check_mode, mode_options, score_session, take_mode
from memscope.web.command import Web, is_served, serve, take_web, web_options

if TYPE_CHECKING:
    from memscope.conversation.follow import Follower
    from memscope.conversation.model import Conversation
    from memscope.open_session import Opener
    from memscope.scoring.session import Session

INTERRUPTED = 130


class _PathOrCommand(click.Group):
    """Takes `memscope PATH` for `memscope open PATH`, and `memscope` alone for the list of sessions."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help", "--version")):
            args = ["open", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[PATH | --latest | demo | COMMAND] [ARGS]...")


@click.group(cls=_PathOrCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="memscope")
def cli() -> None:
    """memscope shows which memory made an agent say what it said.

    `memscope` lists past sessions, `memscope PATH` opens a conversation (`-` reads standard input), `memscope
    --latest` the newest one of this directory, `memscope demo` the one shipped with it. With
    `--web` any of them serves the screen to a browser.
    """


@cli.command("open", hidden=True)
@click.argument("path", required=False)
@click.option("--latest", is_flag=True, help="The newest session of this directory.")
@click.option("--auto", is_flag=True, help="Score every response that comes while memscope follows the file.")
@web_options
@branch_option
@scorer_options
@metric_option
def open_(
    path: str | None, latest: bool, auto: bool, branch: str | None, metric: str | None, **options: Any
) -> int:
    """Open a conversation on the screen and follow its file as it grows; without PATH choose one."""
    from memscope.open_session import latest_session, open_session, opener_of

    web = take_web(options, path)
    opener = opener_of(metric, options)
    if path in ("demo", "-"):
        session = open_session(path, branch, metric, options)
        return _show(session, opener=opener, metric=metric, keys_from_terminal=path == "-", web=web)
    if latest:
        if path is not None:
            raise InputError("Give a path or --latest, not both.")
        path, branch = latest_session(branch)
    if path is None:
        return _show(opener=opener, auto=auto, metric=metric, web=web)
    return _show(*opener(path, branch), opener=opener, auto=auto, metric=metric, web=web)


@cli.command()
@web_options
@scorer_options
@metric_option
def demo(metric: str | None, **options: Any) -> int:
    """Open the conversation that ships with memscope and score it."""
    from memscope.open_session import open_session, opener_of

    web = take_web(options)
    session = open_session("demo", None, metric, options)
    return _show(session, opener=opener_of(metric, options), score_at_once=True, metric=metric, web=web)


@cli.command()
@click.argument("path")
@click.option("--json", "json_path", metavar="FILE|-", help="Write JSON instead of a table.")
@mode_options
@branch_option
@scorer_options
@metric_option
@fresh_option
def score(
    path: str,
    json_path: str | None,
    branch: str | None,
    metric: str | None,
    fresh: bool,
    **options: Any,
) -> int:
    """Score a conversation and print which memory each response needed."""
    from memscope.export import check_target, write_file
    from memscope.open_session import open_session

    mode = take_mode(options)
    session = open_session(path, branch, metric, options, once=True)
    if json_path is not None and json_path != "-":
        check_target(session, Path(json_path))
    check_mode(session, mode, json_path)
    scored = score_session(session, mode, fresh=fresh)
    if json_path == "-":
        click.echo(scored.document(), nl=False)
    elif json_path is not None:
        write_file(Path(json_path), scored.document())
        _wrote(session, json_path)
    elif scored.problem is None:
        click.echo(scored.table(table_width()), nl=False)
    if scored.problem is not None:
        raise NothingToScoreError(scored.problem)
    return scored.status


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def ledger(as_json: bool) -> int:
    """The memories that `memscope score --incremental` has scored, by weight."""
    from datetime import UTC, datetime

    from memscope.documents import encoded, ledger_document
    from memscope.report import ledger_report
    from memscope.score_command import read_ledger

    entries = read_ledger()
    if as_json:
        click.echo(encoded(ledger_document(entries)), nl=False)
    elif entries:
        click.echo(ledger_report(entries, datetime.now(UTC), table_width()), nl=False)
    else:
        click.echo("The ledger is empty; `memscope score PATH --incremental` fills it.", err=True)
    return 0


@cli.command()
@click.argument("path")
@click.option(
    "--to", "target", required=True, metavar="FILE", help="The ending says how: .json, .csv, .npz or .html."
)
@branch_option
@scorer_options
@metric_option
@fresh_option
def export(path: str, target: str, branch: str | None, metric: str | None, fresh: bool, **scorer: Any) -> int:
    """Write a conversation's matrix to a file, scoring first what is not known yet."""
    from memscope.export import check_export
    from memscope.export import export as write
    from memscope.open_session import open_session

    session = open_session(path, branch, metric, scorer, once=True)
    check_export(session, Path(target))
    with closing(session):
        scored = score_session(session, Mode(), fresh=fresh)
        write(session, Path(target))
    _wrote(session, target)
    return scored.status


@cli.command()
@click.option("--memories", "path", metavar="PATH", help="List the memories found in a file instead.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("--subagents", is_flag=True, help="In the table, also sessions that are parts of others.")
@branch_option
def sessions(path: str | None, as_json: bool, subagents: bool, branch: str | None) -> int:
    """The sessions that agents left on this machine, newest first.

    Read-only and local: session files are never written to, and nothing of them leaves this machine.
    """
    import time

    from memscope.open_session import read
    from memscope.sessions_command import find_sessions

    if path is not None:
        return _list_memories(read(path, branch), as_json)
    found = find_sessions(Path.cwd())
    if as_json:
        click.echo(found.document(), nl=False)
    elif found.rows:
        click.echo(found.table(time.time(), table_width(), subagents=subagents), nl=False)
    else:
        click.echo(
            "No session was found; `session_folders` in the settings says where else to look.", err=True
        )
    return 0


@cli.command()
@scorer_options
def check(**scorer: Any) -> int:
    """Try a scorer, by default the embedded model, and say what it can do."""
    from memscope.activity import Activities
    from memscope.progress import show_progress
    from memscope.scorers import open_scorer
    from memscope.scorers.check import check as look
    from memscope.settings import scorer_choice
    from memscope.text import fit, printable

    choice = scorer_choice(**scorer)
    activities = Activities()

    async def run() -> None:
        opened = await open_scorer(choice, activities, threading.Event())
        try:
            with activities.track("checking"):
                async for name, finding in look(opened):
                    click.echo(f"{fit(name, 20)}{printable(finding)}")
        finally:
            await opened.aclose()

    if choice.warning:
        click.echo(choice.warning, err=True)
    with show_progress(activities):
        asyncio.run(run())
    return 0


@cli.group()
def model() -> None:
    """The models in the cache."""


@model.command()
def pull() -> None:
    """Fetch the embedded model, check it, and convert it for use."""
    from memscope.activity import Activities
    from memscope.progress import show_progress
    from memscope.scorers.embedded.pull import pull as fetch
    from memscope.text import one_line

    activities = Activities()
    with show_progress(activities):
        folder = fetch(activities)
    click.echo(one_line(str(folder)))


@model.command("list")
def list_() -> None:
    """Name, folder and size of every model in the cache."""
    from memscope.scorers.embedded.pull import installed
    from memscope.text import one_line

    models = installed()
    if not models:
        click.echo("No model is installed; `memscope model pull` fetches the embedded one.", err=True)
    for one in models:
        click.echo(f"{one_line(one.name)}  {one_line(str(one.folder))}  {one.size / 1e6:,.0f} MB")


def _list_memories(conversation: "Conversation", as_json: bool) -> int:
    from memscope.conversation.rules import HOW_TO_MARK
    from memscope.documents import encoded
    from memscope.memories_report import memories_document, memories_report
    from memscope.text import printable

    if as_json:
        click.echo(encoded(memories_document(conversation)), nl=False)
        return 0
    for note in conversation.source.notes:
        click.echo(printable(note), err=True)
    if conversation.memories:
        click.echo(memories_report(conversation, table_width()), nl=False)
    else:
        click.echo(printable(f"{conversation.source.path} holds no memories. {HOW_TO_MARK}"), err=True)
    return 0


def _wrote(session: "Session", target: str) -> None:
    from memscope.text import printable

    for note in session.notes:
        click.echo(printable(note), err=True)
    click.echo(f"Wrote {printable(target)}.", err=True)


def _show(
    session: "Session | None" = None,
    follower: "Follower | None" = None,
    *,
    opener: "Opener | None" = None,
    score_at_once: bool = False,
    auto: bool = False,
    metric: str | None = None,
    keys_from_terminal: bool = False,
    web: Web | None = None,
) -> int:
    """Run the screen, here or for browsers; its exit status."""
    if web is not None:
        return serve(web)
    if not sys.stdout.isatty() and not is_served():
        raise InputError("The screen needs a terminal; `memscope score PATH` prints a table instead.")
    if keys_from_terminal:
        from memscope.open_session import take_keys_from_terminal

        take_keys_from_terminal()
    from memscope.settings import setting
    from memscope.tui.app import MemscopeApp

    asked = metric is not None or setting("metric") is not None
    app = MemscopeApp(
        session, follower, opener=opener, score_at_once=score_at_once, auto=auto, metric_asked=asked
    )
    try:
        app.run()
    finally:
        app.close()
    return app.return_code or 0


def main() -> None:
    """Run the command line; every problem that a user can act on is one sentence and an exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = cli(prog_name="memscope", standalone_mode=False)
    except MemscopeError as error:
        from memscope.text import printable

        click.echo(f"memscope: {printable(str(error))}", err=True)
        status = error.status
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except OSError as error:  # a reader that has seen enough is click's to handle
        place = error.filename or "Standard output"
        click.echo(f"memscope: {place} can't be written: {error.strerror or error}.", err=True)
        status = MemscopeError.status
    except (click.Abort, KeyboardInterrupt):
        click.echo("memscope: stopped; scoring again goes on from what is in the store.", err=True)
        status = INTERRUPTED
    sys.exit(status)
