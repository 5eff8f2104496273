"""HTTP over a unix socket, on asyncio's own streams.

The HTTP client's own way there reads through anyio's `UNIXSocketStream`. Up to anyio 4.16 at least, a read that is
cancelled in the very moment in which data comes leaves an `InvalidStateError` in the event loop's log. At a cutoff
all trajectories are cancelled at once, in the middle of what a server sends.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpcore2
import httpx2


class SocketTransport(httpx2.AsyncHTTPTransport):
    """The transport of an `httpx2.AsyncClient` to the unix socket `path`."""

    def __init__(self, path: str, limits: httpx2.Limits) -> None:
        super().__init__(verify=False, limits=limits)
        self._pool = httpcore2.AsyncConnectionPool(
            uds=path,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(),
        )


class _Backend(httpcore2.AsyncNetworkBackend):
    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 (the client's own signature)
    ) -> "_Stream":
        with _as(httpcore2.ConnectError, httpcore2.ConnectTimeout), anyio.fail_after(timeout):
            return _Stream(*await asyncio.open_unix_connection(path))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as(httpcore2.ReadError, httpcore2.ReadTimeout), anyio.fail_after(timeout):
            return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as(httpcore2.WriteError, httpcore2.WriteTimeout), anyio.fail_after(timeout):
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """The pool asks only whether the server has closed an idle connection."""
        return self._reader.at_eof() if info == "is_readable" else None


@contextmanager
def _as(failure: type[Exception], timeout: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise failure(str(error)) from error
