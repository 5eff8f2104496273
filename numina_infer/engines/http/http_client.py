"""The line to one endpoint: a request goes out, a response comes in, and whatever fails on the way is one error.

The HTTP client has errors for what it foresees. What it doesn't foresee comes through from the layers below: a client
that was closed raises `RuntimeError`, a TLS connection that breaks off raises anyio's or the system's own errors, a
server that answers before it was asked makes h11 refuse our next bytes, and a host whose name no resolver takes
raises `UnicodeError`. To a turn all of them mean the same: it is lost, and can be played again.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from numina_infer.core.errors import EngineError

if TYPE_CHECKING:
    import httpx2


class LineError(EngineError):
    """The line broke, or was never there."""


class HttpClient:
    """One client of ours, and the only place where it is used."""

    def __init__(self, client: "httpx2.AsyncClient") -> None:
        self._client = client

    async def get(self, path: str) -> "httpx2.Response":
        """The response to GET `path`.

        Raises:
            LineError: none came.
        """
        with _told():
            return await self._client.get(path)

    async def post(self, path: str, body: object) -> "httpx2.Response":
        """The response to POST `path` with `body` as JSON.

        Raises:
            LineError: none came.
        """
        with _told():
            return await self._client.post(path, json=body)

    @asynccontextmanager
    async def stream(self, path: str, body: object) -> AsyncIterator["httpx2.Response"]:
        """The response to POST `path`, of which `received` reads what comes; leaving early closes the connection.

        Raises:
            LineError: none came.
        """
        with _told():
            request = self._client.build_request("POST", path, json=body)
            response = await self._client.send(request, stream=True)
        try:
            yield response
        finally:
            with suppress(*_failures()):  # what came is there, whatever becomes of the connection
                await response.aclose()

    async def close(self) -> None:
        """Close every connection."""
        with suppress(*_failures()):
            await self._client.aclose()


async def received(response: "httpx2.Response") -> AsyncIterator[bytes]:
    """What a streamed response brings, piece by piece.

    Raises:
        LineError: the line broke before the end.
    """
    pieces = aiter(response.aiter_bytes())
    while True:
        with _told():
            piece: bytes | None = await anext(pieces, None)
        if piece is None:
            return
        yield piece


async def read_whole(response: "httpx2.Response") -> None:
    """Read all of a streamed response, so that its content is there.

    Raises:
        LineError: the line broke before the end.
    """
    with _told():
        await response.aread()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _failures() as error:
        raise LineError(repr(error)) from error


def _failures() -> tuple[type[Exception], ...]:
    """What the client and the layers below it raise when a server isn't there, goes away, or talks nonsense."""
    import h11
    import httpx2

    of_client = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, RuntimeError)
    of_connection: Any = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
    return (*of_client, *of_connection, h11.ProtocolError, UnicodeError)
