"""The outermost door: what may come in is decided before a byte of it is read. Pure ASGI, deny by default.

The HTTP API answers to tokens only, and is refused, too large, or too much before its body is touched. Streamlit's
upload route answers only to sessions that are signed in: an anonymous visitor gets a session for the asking, and
could fill the memory through it.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from core import auth, latency
from core.context import Context
from core.errors import Forbidden

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = {"/health", "/api/health"}  # exact paths, and only to look at
GUARDED = ("/api", "/health", "/metrics", "/predict", "/labels", "/generate", "/retrain", "/runs", "/share")
MOST_BYTES = 2_000_000
MOST_AT_ONCE = 32
SHARED = "/share/"  # to look at only: the secret in the address is what it asks for
UPLOAD = "/_stcore/upload_file/"
HIDDEN = ("/_stcore/metrics",)

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self' https://*.streamlit.app"),
]

# Streamlit sessions whose user is signed in. Outside the module: hot reload makes a second copy of those.
_signed_in: set[str] = sys.__dict__.setdefault("_continual_ml_sessions", set())


def let_upload(session: str, *, allowed: bool) -> None:
    """Let this Streamlit session upload files, or no longer."""
    (_signed_in.add if allowed else _signed_in.discard)(session)


class _TooLarge(HTTPException):
    """The body grew larger than allowed while it was read; FastAPI passes this kind on as it is."""

    def __init__(self) -> None:
        super().__init__(413, f"At most {MOST_BYTES:,} bytes at once")


class Guard:
    """ASGI middleware around everything. ``context`` gives the app's context when a token must be looked up."""

    def __init__(self, app: App, context: Callable[[], Context]) -> None:
        self._app = app
        self._context = context
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        path = scope["path"]
        if path in HIDDEN:
            await _refuse(send, 404, "NotFound", "There is nothing here")
        elif path.startswith(UPLOAD):
            if path.removeprefix(UPLOAD).split("/")[0] not in _signed_in:
                await _refuse(send, 403, "Forbidden", "Sign in before you upload")
            else:
                await self._app(scope, receive, send)
        elif path.startswith(SHARED) and scope["method"] in ("GET", "HEAD"):
            await self._limited(scope, receive, send)
        elif _belongs_to_api(scope) and not (path in OPEN and scope["method"] in ("GET", "HEAD")):
            began = time.perf_counter()
            await self._api(scope, receive, send)
            latency.record((time.perf_counter() - began) * 1e3)
        else:
            await self._app(scope, receive, send)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            scope["continual.user"] = auth.user_of_token(
                self._context(), headers.get(b"authorization", b"").decode("latin-1")
            )
        except Forbidden as error:
            await _refuse(send, 401, "Forbidden", str(error), (b"www-authenticate", b"Bearer"))
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            await _refuse(
                send, 413, "TooLarge", f"At most {MOST_BYTES:,} bytes at once; upload larger files on the Data page"
            )
            return
        await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, unless too many are inside already."""
        if self._inside >= MOST_AT_ONCE:
            await _refuse(send, 503, "Busy", "Too many requests at once", (b"retry-after", b"1"))
            return
        self._inside += 1
        try:
            await self._app(scope, _counted(receive), send)
        except _TooLarge:
            await _refuse(send, 413, "TooLarge", f"At most {MOST_BYTES:,} bytes at once")
        finally:
            self._inside -= 1


def _belongs_to_api(scope: Scope) -> bool:
    """POST to a path that is a page too (`/predict`) is the API's; GET of it is the page's."""
    path = scope["path"]
    inside = any(path == prefix or path.startswith(prefix + "/") for prefix in GUARDED)
    page = path == "/predict" and scope["method"] in ("GET", "HEAD")
    return inside and not page


def _counted(receive: Receive) -> Receive:
    """Counts a body that did not say how long it is."""
    read = 0

    async def counting() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            raise _TooLarge
        return message

    return counting


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = message.get("headers", [])
            said = {name.lower() for name, _ in own}  # what an answer says itself stands
            message["headers"] = [*own, *(header for header in HEADERS if header[0] not in said)]
        await send(message)

    return sending


async def _refuse(send: Send, status: int, error: str, detail: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"error": error, "detail": detail}).encode()
    start = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*start, *headers]})
    await send({"type": "http.response.body", "body": body})
