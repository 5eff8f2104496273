"""Where an OpenAI-compatible server listens, and the HTTP client that reaches it there.

A server of ours listens on a unix socket: no port to collide with, and nobody on the network can reach it.
The key of a remote one comes from the environment and is neither logged nor recorded.

Sockets have a transport of ours, on asyncio's own streams. The HTTP client's reads through anyio's `UNIXSocketStream`:
up to anyio 4.16 at least, a read that is cancelled in the very moment in which data comes leaves an
`InvalidStateError` in the event loop's log, and at a cutoff all trajectories are cancelled in the middle of a stream.
"""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import anyio
import httpcore2
import httpx2

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError

KEY_VARIABLE = "NUMINA_INFER_API_KEY"
"""The environment variable that holds the key of endpoints that ask for one."""
_CONNECT_TIMEOUT_S = 10.0
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=32)


@dataclass(frozen=True, slots=True)
class Address:
    """One place where a server listens."""

    url: str
    """The root that paths such as `/v1/completions` are joined to, without a slash at its end."""
    socket: str | None = None
    """The unix socket that leads there."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `https://host/…`, `http://host:port`, `unix:/path`, or the path of a socket.

        A `/v1` at the end, which OpenAI's own client wants, is taken off.

        Raises:
            ConfigError: `text` is none of these.
        """
        text = text.strip()
        if text.startswith(("unix:", "/", "./", "~")):
            require(text != "unix:", "endpoint 'unix:' names no socket; give its path behind the colon")
            path = Path(text.removeprefix("unix:")).expanduser().absolute()
            return cls("http://localhost", str(path))
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"endpoint {text!r:.80} is no address: {error}") from error
        require(
            url.scheme in {"http", "https"} and bool(url.host) and (url.port is None or 0 < url.port < 65_536),
            f"endpoint {text!r} is no address; give https://host, http://host:port, or the path of a unix socket",
        )
        require(
            not (url.userinfo or url.query or url.fragment or any(map(str.isspace, text))),
            f"the endpoint at {url.host} has more than an address: a password, a query, a fragment or a blank; "
            f"leave it out, and put a key into {KEY_VARIABLE}",
        )
        return cls(text.rstrip("/").removesuffix("/v1").rstrip("/"))

    def __str__(self) -> str:
        """The form in which users write it."""
        return self.socket or self.url

    def client(self) -> httpx2.AsyncClient:
        """A client for this address, on which as many streams may run as are asked for.

        Raises:
            ConfigError: no request can hold the key.
        """
        transport = _SocketTransport(self.socket) if self.socket else httpx2.AsyncHTTPTransport(limits=_LIMITS)
        headers = {} if self.socket else _authorization()
        # No limit on reading: a queue may be long, and the endpoint pool finds stalls.
        timeout = httpx2.Timeout(_CONNECT_TIMEOUT_S, read=None)
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, transport=transport)


def _authorization() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE, "")
    is_plain = key.isascii() and key.isprintable()
    require(is_plain, f"{KEY_VARIABLE} holds what no key has, such as the end of a line; set it to the key alone")
    return {"authorization": f"Bearer {key}"} if key else {}


def without_key(text: str) -> str:
    """`text` from a server without our key: some repeat it."""
    key = os.environ.get(KEY_VARIABLE)
    return text.replace(key, "…") if key else text


class _SocketTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, path: str) -> None:
        super().__init__(verify=False, limits=_LIMITS)
        self._pool = httpcore2.AsyncConnectionPool(
            uds=path,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=_Backend(),
        )


class _Backend(httpcore2.AsyncNetworkBackend):
    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 (the client's own signature)
    ) -> "_Stream":
        with anyio.fail_after(timeout):
            return _Stream(*await asyncio.open_unix_connection(path))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with anyio.fail_after(timeout):
            return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            with anyio.fail_after(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except OSError as error:  # which the pool knows to overlook where the server has answered already
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._writer.transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """The pool asks only whether the server has closed an idle connection."""
        return self._reader.at_eof() if info == "is_readable" else None
