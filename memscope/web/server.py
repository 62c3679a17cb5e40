"""textual-serve, kept to its own pages: nothing is fetched from elsewhere, no foreign page gets in."""

import asyncio
import ipaddress
import re
import socket
from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler
from textual_serve.app_service import AppService
from textual_serve.server import Server

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(?::[0-9]+)?", re.ASCII | re.IGNORECASE)
"""A `Host` header: a name or an address, and a port."""
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # xterm.js writes its styles as it goes
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_REFUSAL = "Only memscope's own page is answered. Open it by an address, or by the name given with --host.\n"
_PATIENCE = 3.0
"""Seconds that a screen has to end in."""


class ScreenServer(Server):
    """Runs a command for each visitor and shows its screen in the page.

    The screen reads sessions and writes files, so a request is answered only if a browser made it for this
    very page: `Host` is this machine and not a foreign name that was made to point here (DNS rebinding), and
    a web socket comes from the same origin (web sockets know no same-origin policy of their own).
    """

    def __init__(self, command: str, host: str) -> None:
        """`host` is how the user calls this machine, besides its addresses and its own name."""
        super().__init__(command, host=host, title="memscope")
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._open: set[web.WebSocketResponse] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def serve_on(self, listening: socket.socket) -> None:
        """Serve until interrupted or terminated."""
        web.run_app(self._make_app(), sock=listening, print=None, access_log=None, shutdown_timeout=_PATIENCE)

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page; everything that it loads comes from this server."""
        return web.Response(text=_part("page.html"), content_type="text/html")

    async def on_startup(self, app: web.Application) -> None:
        """Nothing: whoever made the server says where it is."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.router.add_get("/page.js", _page_script)
        app.middlewares.append(self._guard)
        app.on_response_prepare.append(_add_headers)
        app.on_cleanup.append(self._await_screens)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        own = [f"http://{request.host}", f"https://{request.host}"]
        origin = request.headers.get("Origin", "" if request.path == "/ws" else own[0])
        if not self._is_mine(request.host) or origin not in own:
            raise web.HTTPForbidden(text=_REFUSAL)
        return await handler(request)

    def _is_mine(self, host: str) -> bool:
        """Whether a `Host` header names this machine. An address always does: what is made to point here is a
        name."""
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        name = parts[1].strip("[]").lower()
        return name in self._names or _is_address(name)

    async def on_shutdown(self, app: web.Application) -> None:
        """Tell the pages that it is over."""
        for websocket in tuple(self._open):
            await websocket.close()

    async def _await_screens(self, app: web.Application) -> None:
        await asyncio.gather(*self._ending)

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        """Take what the browser sends until it leaves or the screen's process has ended, however it did."""
        process, reading = app_service._process, app_service._task
        assert process is not None
        assert reading is not None

        def end(_: object) -> None:
            ending = asyncio.ensure_future(_end(process, websocket))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

        reading.add_done_callback(end)
        self._open.add(websocket)
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            self._open.discard(websocket)


async def _end(process: asyncio.subprocess.Process, websocket: web.WebSocketResponse) -> None:
    """Leave no process behind, and no page that waits for one."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    await websocket.close()


async def _page_script(request: web.Request) -> web.Response:
    return web.Response(text=_part("page.js"), content_type="text/javascript")


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
