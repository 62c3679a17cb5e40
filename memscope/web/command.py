"""The options of `memscope --web`, and what it does. Only names are imported here."""

import ipaddress
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import click

from memscope.errors import InputError

_HOST, _PORT = "127.0.0.1", 8000
_DRIVER = "textual.drivers.web_driver:WebDriver"
"""What textual-serve has Textual draw with, in `TEXTUAL_DRIVER`."""


@dataclass(frozen=True)
class Web:
    """Where to serve the screen."""

    host: str
    port: int


def web_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options that serve the screen to browsers instead of opening it here."""
    options = (
        click.option("--web", is_flag=True, help="Serve the screen to browsers on this machine."),
        click.option("--host", metavar="ADDRESS", help=f"With --web: where to listen (default: {_HOST})."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            metavar="N",
            help=f"With --web: the port, 0 for any that is free (default: {_PORT}).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def take_web(options: dict[str, Any], path: str | None = None) -> Web | None:
    """Take the options that serve the screen out of a command's options; None if it is to open here, as it is
    in the processes that draw what is served.

    Raises InputError if they do not go together or with the path, or the extra is not installed.
    """
    web, host, port = (options.pop(name) for name in ("web", "host", "port"))
    if not web:
        if host is not None or port is not None:
            raise InputError("--host and --port go with --web only.")
        return None
    if is_served():
        return None
    if find_spec("textual_serve") is None:
        raise InputError("--web needs the extra `web`; run `pip install 'memscope[web]'`.")
    if path == "-":
        raise InputError("With --web each visitor's screen reads the conversation; save it to a file first.")
    if host is not None and not host.strip():
        raise InputError("--host is empty; give an address of this machine, such as 127.0.0.1.")
    return Web(_HOST if host is None else host, _PORT if port is None else port)


def is_served() -> bool:
    """Whether this process draws for a browser."""
    return os.environ.get("TEXTUAL_DRIVER") == _DRIVER


def serve(web: Web) -> int:
    """Serve the screen that this program's own arguments open, a process for each visitor, until interrupted;
    the exit status. Raises InputError if nothing can listen there."""
    from memscope.text import one_line
    from memscope.web.server import ScreenServer

    listening = _listen(web)
    address, port = listening.getsockname()[:2]
    where = f"http://{f'[{address}]' if ':' in address else address}:{port}/"
    if not ipaddress.ip_address(address).is_loopback:
        click.echo(
            f"Warning: whoever reaches port {port} of this machine reads every session on it, scores with "
            "your key and writes exports as you do; nobody is asked for a password.",
            err=True,
        )
    click.echo(f"The screen is at {one_line(where)}; Ctrl+C ends it.", err=True)
    ScreenServer(_own_command(), web.host).serve_on(listening)
    return 0


def _listen(web: Web) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"Nothing can listen at {web.host} port {web.port}: {reason}; --host and --port choose others."
        ) from error


def _own_command() -> str:
    """What a shell runs for each visitor: this program, with the same arguments."""
    command = [sys.executable, "-P", "-c", "from memscope.cli import main; main()", *sys.argv[1:]]
    return subprocess.list2cmdline(command) if os.name == "nt" else f"exec {shlex.join(command)}"
