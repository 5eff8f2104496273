"""Where an OpenAI-compatible server listens, and the HTTP client that reaches it there.

A server of ours listens on a unix socket: no port to collide with, and nobody on the network can reach it.
The key of a remote one comes from the environment and is neither logged nor recorded.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    import httpx2

KEY_VARIABLE = "NUMINA_INFER_API_KEY"
"""The environment variable that holds the key of endpoints that ask for one."""
CONNECT_TIMEOUT_S = 10.0
LOOK_TIMEOUT_S = 20.0
"""For a question that costs a server nothing, such as which model it has."""


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
            parts = urlsplit(text)
            is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError as error:  # of a port or of brackets
            raise ConfigError(f"endpoint {text!r} is no address: {error}") from error
        require(
            is_url,
            f"endpoint {text!r} is no address; give https://host, http://host:port, or the path of a unix socket",
        )
        require(
            not (parts.query or parts.fragment or any(map(str.isspace, text))),
            f"the endpoint at {parts.hostname} has more than an address: a query, a fragment or a blank; leave "
            f"it out, and put a key into {KEY_VARIABLE}",
        )
        require(
            parts.username is None and parts.password is None,
            f"the endpoint at {parts.hostname} holds a password; put the key into {KEY_VARIABLE} instead",
        )
        return cls(text.rstrip("/").removesuffix("/v1").rstrip("/"))

    def __str__(self) -> str:
        """The form in which users write it."""
        return self.socket or self.url

    def client(self) -> "httpx2.AsyncClient":
        """A client for this address, on which as many streams may run as are asked for.

        Raises:
            ConfigError: no request can hold the address or the key.
        """
        import httpx2

        from numina_infer.engines.http.socket_transport import SocketTransport

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32)
        transport = SocketTransport(self.socket, limits) if self.socket else httpx2.AsyncHTTPTransport(limits=limits)
        headers = {} if self.socket else _authorization()
        # No limit on reading: a queue may be long, and the endpoint pool finds stalls.
        timeout = httpx2.Timeout(CONNECT_TIMEOUT_S, read=None)
        try:
            return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, transport=transport)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"endpoint {self.url!r:.80} is no address: {error}") from error


def _authorization() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE, "")
    is_plain = key.isascii() and key.isprintable()
    require(is_plain, f"{KEY_VARIABLE} holds what no key has, such as the end of a line; set it to the key alone")
    return {"authorization": f"Bearer {key}"} if key else {}


def without_key(text: str) -> str:
    """`text` from a server without our key: some repeat it."""
    key = os.environ.get(KEY_VARIABLE)
    return text.replace(key, "…") if key else text
