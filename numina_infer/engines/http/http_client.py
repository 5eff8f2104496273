"""HTTP requests to one endpoint, with one error for everything that fails on the way.

The HTTP library has errors of its own, and lets others through from below: a closed client raises `RuntimeError`, a
TLS connection that breaks off anyio's or the system's errors, a server that answers before it was asked h11's, and a
host name that no resolver takes `UnicodeError`. To a turn all mean the same: it is lost, and can be asked again.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from numina_infer.core.errors import EngineError

if TYPE_CHECKING:
    import httpx2


class LineError(EngineError):
    """The connection broke, or was never made."""


class HttpClient:
    """An `httpx2` client whose requests raise `LineError` and nothing else when they fail."""

    def __init__(self, client: "httpx2.AsyncClient") -> None:
        self._client = client

    async def get(self, path: str) -> "httpx2.Response":
        """The response to GET `path`."""
        with _one_error():
            return await self._client.get(path)

    async def post(self, path: str, body: object) -> "httpx2.Response":
        """The response to POST `path` with `body` as JSON."""
        with _one_error():
            return await self._client.post(path, json=body)

    @asynccontextmanager
    async def stream(self, path: str, body: object) -> AsyncIterator["httpx2.Response"]:
        """The response to POST `path`, to be read with `received`; leaving early closes the connection.

        Raises:
            LineError: none came.
        """
        with _one_error():
            request = self._client.build_request("POST", path, json=body)
            response = await self._client.send(request, stream=True)
        try:
            yield response
        finally:
            with suppress(*_failures()):  # the reply has been read, or given up
                await response.aclose()

    async def close(self) -> None:
        """Close every connection."""
        with suppress(*_failures()):
            await self._client.aclose()


async def received(response: "httpx2.Response") -> AsyncIterator[bytes]:
    """The pieces of a streamed response.

    Raises:
        LineError: the line broke before the end.
    """
    pieces = aiter(response.aiter_bytes())
    while True:
        with _one_error():
            piece: bytes | None = await anext(pieces, None)
        if piece is None:
            return
        yield piece


async def read_whole(response: "httpx2.Response") -> None:
    """Read all of a streamed response, so that its content is there.

    Raises:
        LineError: the line broke before the end.
    """
    with _one_error():
        await response.aread()


@contextmanager
def _one_error() -> Iterator[None]:
    try:
        yield
    except _failures() as error:
        raise LineError(repr(error)) from error


def _failures() -> tuple[type[Exception], ...]:
    """The errors of the client and the layers below it."""
    import h11
    import httpx2

    of_client = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, RuntimeError)
    of_connection: Any = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
    return (*of_client, *of_connection, h11.ProtocolError, UnicodeError)
