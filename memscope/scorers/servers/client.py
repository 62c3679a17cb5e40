"""One server over HTTP: its address, its key, and what its failures mean."""

import asyncio
import base64
import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from memscope.errors import InputError, ScorerError
from memscope.text import one_line

FIRST_TIMEOUT = 600.0
"""Seconds for the first answer: a server may compile or load before it."""
TIMEOUT = 120.0
"""Seconds for an answer once one has come."""
_CONNECT = 10.0
_SHORT = 30.0
"""Seconds for an answer that takes no computing."""
_PATIENCE = 60.0
"""Seconds without a single good answer after which nothing is tried again."""
_LONGEST_REASON = 300
"""Characters of what a server says of its failure."""
_LONGEST_WAIT = 300.0
"""Seconds that a server may ask to wait."""
_LAST_PORT = 65535
T = TypeVar("T")
_LATER = frozenset({408, 409, 425, 429})
"""Statuses below 500 that may be otherwise next time."""


class ServerError(ScorerError):
    """A request that a server did not answer well; `status` is the HTTP status if there was an answer."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        final: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason, final=final, retry_after=retry_after)
        self.status = status


class ServerClient:
    """Talks JSON to the server at `base`, over connections that stay open.

    The key goes to that server alone: a redirect to another host is followed without it. It is struck out
    of whatever the server says.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout: float | None = None) -> None:
        """`timeout` in seconds is for an answer once one has come. Raises InputError if `url` is none."""
        self.base = _base(url)
        self.label = self.base.split("://", 1)[1]
        """The address for people, without credentials."""
        self.timeout = timeout or TIMEOUT
        parsed = _parsed(url)
        self._auth = httpx.BasicAuth(parsed.username, parsed.password) if parsed.userinfo else None
        self._api_key = api_key
        self._secrets = _spellings(api_key, parsed)
        self._warm = False
        self._failing_since: float | None = None
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._blocking: httpx.Client | None = None

    async def get(self, path: str) -> bytes:
        """What stands at `path`. Raises ServerError."""
        try:
            async with asyncio.timeout(_SHORT):
                return await self._send("GET", path)
        except TimeoutError as error:
            raise ServerError(f"{self.label} gave no answer within {_SHORT:g} s") from error

    async def post(self, path: str, body: object) -> bytes:
        """What the server computes for `body` (as JSON): the bytes of its answer. Raises ServerError."""
        limit = self.timeout if self._warm else max(FIRST_TIMEOUT, self.timeout)
        try:
            async with asyncio.timeout(limit):
                answer = await self._send("POST", path, msgspec.json.encode(body))
        except ServerError as error:
            raise self._judged(error) from error
        except TimeoutError as error:
            reason = f"{self.label} gave no answer within {limit:g} s (--timeout sets how long to wait)"
            raise self._judged(ServerError(reason)) from error
        self._warm, self._failing_since = True, None
        return answer

    def ask_now(self, path: str, body: object) -> bytes:
        """Like `post`, but blocking, for what takes no computing. Raises ServerError."""
        if self._blocking is None:
            self._blocking = httpx.Client(**self._settings(_SHORT))
        try:
            response = self._blocking.post(self.base + path, content=msgspec.json.encode(body))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return self._checked(response)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._blocking is not None:
            self._blocking.close()
            self._blocking = None
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.aclose()
        self._client = None

    async def _send(self, method: str, path: str, content: bytes | None = None) -> bytes:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # connections belong to the loop they began in
            self._client, self._loop = httpx.AsyncClient(**self._settings(None)), loop
        try:
            response = await self._client.request(method, self.base + path, content=content)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return self._checked(response)

    def _settings(self, timeout: float | None) -> dict[str, Any]:
        """What both kinds of httpx client are made with."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self._api_key is not None:
            headers["authorization"] = f"Bearer {self._api_key}"
        return {
            "headers": headers,
            "auth": self._auth,
            "timeout": httpx.Timeout(timeout, connect=_CONNECT),
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64),
            "follow_redirects": True,
        }

    def _checked(self, response: httpx.Response) -> bytes:
        """The answer's bytes if its status is good."""
        if response.is_success:
            return response.content
        status = response.status_code
        said = f"{self.label} answered {status}: {self._reason(response)}"
        if status in (401, 403):
            raise ServerError(f"{said}; give its key in MEMSCOPE_API_KEY", status=status, final=True)
        raise ServerError(
            said,
            status=status,
            final=status < 500 and status not in _LATER,
            retry_after=_retry_after(response.headers),
        )

    def _reason(self, response: httpx.Response) -> str:
        """What the server says of its failure, on one line and without the key."""
        try:
            said = msgspec.json.decode(response.content)
        except (msgspec.DecodeError, RecursionError):
            said = response.text
        for name in ("error", "message", "detail"):
            if isinstance(said, dict) and said.get(name):
                said = said[name]
        text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
        return self.safe(text) or response.reason_phrase

    def safe(self, said: str) -> str:
        """What the server said, on one line, not too long, and without the key."""
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return one_line(said[: 10 * _LONGEST_REASON]).rstrip(".")[:_LONGEST_REASON]

    def _unreachable(self, error: httpx.HTTPError) -> ServerError:
        said = self.safe(str(error))
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ServerError(
                f"{self.label} can't be reached: {said or 'no connection in time'}; start the server, "
                "or give its address with --url"
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"{self.label} gave no answer within {_SHORT:g} s")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.TooManyRedirects | httpx.InvalidURL):
            return ServerError(f"{self.label} redirects to where nothing can be asked: {said}", final=True)
        return ServerError(f"{self.label} broke off: {said or type(error).__name__}")

    def _judged(self, error: ServerError) -> ServerError:
        """The error, final if nothing good has come for too long: then waiting helps no more."""
        if error.final or error.retry_after is not None:
            return error
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        error.final = now - self._failing_since > _PATIENCE
        return error


def decode(answer: bytes, type_: type[T], server: str) -> T:
    """A server's answer as `type_`. Raises ServerError if it is not that."""
    try:
        return msgspec.json.decode(answer, type=type_)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason = f"{server} answered something else than it should: {error}"
        raise ServerError(reason, status=httpx.codes.OK) from error


def _base(url: str) -> str:
    """The address that paths are added to: without credentials, query and the `/v1` of OpenAI's clients."""
    shown = re.sub("//.*@", "//***@", url)
    try:
        parsed = _parsed(url)
    except httpx.InvalidURL as error:
        raise InputError(f"The URL {shown!r} can't be used: {error}.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > _LAST_PORT:
        raise InputError(f"The URL {shown!r} can't be used: give one such as http://localhost:8000.")
    path = parsed.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}{path}"


def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url if "://" in url else f"http://{url}")


def _spellings(api_key: str | None, url: httpx.URL) -> list[str]:
    """How a server may write what must not be shown: the key, and the credentials in its address; long ones
    first."""
    basic = base64.b64encode(f"{url.username}:{url.password}".encode()).decode() if url.userinfo else ""
    secrets = {api_key or "", url.password, url.userinfo.decode("ascii", "replace").partition(":")[2], basic}
    written = secrets | {msgspec.json.encode(secret).decode()[1:-1] for secret in secrets}
    return sorted(filter(None, written), key=len, reverse=True)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks to wait, given as such or as a date; at most `_LONGEST_WAIT`."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdigit():
        seconds = float(value)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT)
