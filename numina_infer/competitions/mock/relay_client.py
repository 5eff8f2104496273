"""How the relay calls an inference server over gRPC: its patience before the first reply, and its names for failures.

What is waited for, retried and told apart by which words was found in kaggle_evaluation; `api_versions` has the
differences.
"""

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numina_infer.competitions.api_versions import STARTUP_LIMIT_S, ApiVersion, ErrorType
from numina_infer.competitions.mock.replied_integer import Failure
from numina_infer.competitions.wire.grpc_channel import CALLING, OPTIONS, no_listener
from numina_infer.competitions.wire.messages import SEND, SERVICE
from numina_infer.competitions.wire.payloads import decode_reply, encode_request
from numina_infer.core.config import require, require_positive, require_whole
from numina_infer.core.errors import GatewayError

if TYPE_CHECKING:
    import grpc
    import polars as pl

_ENDPOINT = "predict"
# A proxy in the environment is for the world outside; no server is found through it.
_OPTIONS = (*OPTIONS, ("grpc.enable_http_proxy", 0))


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Where a server is looked for."""

    host: str
    ports: tuple[int, ...]
    """In turn, until one replies."""

    def __post_init__(self) -> None:
        require(bool(self.host), "host is empty; name the host of the inference server, or leave it out")
        require(bool(self.ports), "ports is empty; name a port, or leave them out")
        for port in self.ports:
            require_whole("port", port, 1)
            require(port <= 65535, f"port is {port}; it must be at most 65535")


class Cancelled(Exception):  # noqa: N818 (no error: somebody wanted it so)
    """The client was cancelled while it waited."""


class RelayClient:
    """A client of one inference server; close it."""

    def __init__(
        self, address: RelayAddress, version: ApiVersion, *, startup_limit_s: float = STARTUP_LIMIT_S
    ) -> None:
        """Make a client; nothing is looked for yet.

        Raises:
            ConfigError: a value can't be used.
        """
        require_positive("startup_limit_s", startup_limit_s)
        self._address = address
        self._version = version
        self._startup_limit_s = startup_limit_s
        self._channel: grpc.Channel | None = None
        self._has_replied = False
        self._cancelled = threading.Event()
        self._calling: Any = None

    def call(self, columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
        """Call `predict`; see `examination.Call`.

        Until the first reply a server that can't be reached is waited for.

        Raises:
            Cancelled: by another thread.
        """
        import grpc

        request = encode_request(_ENDPOINT, *columns)
        try:
            data = self._send(request, deadline_s) if self._has_replied else self._look_and_send(request)
        except grpc.RpcError as error:
            return _failure(error, self._version)
        if isinstance(data, Failure):
            return data
        try:
            return decode_reply(data)
        except GatewayError as error:
            return Failure(ErrorType.GATEWAY_RAISED_EXCEPTION, str(error))

    def cancel(self) -> None:
        """Leave the call that is out, from another thread, and make no other."""
        self._cancelled.set()
        if (calling := self._calling) is not None:
            calling.cancel()

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, or until cancelled."""
        self._cancelled.wait(seconds)

    def close(self) -> None:
        """Hang up."""
        if self._channel is not None:
            self._channel.close()

    def _look_and_send(self, request: bytes) -> bytes | Failure:
        """Try one port after the other until a server replies or the time for its start is over."""
        import grpc

        last = time.monotonic() + self._startup_limit_s
        while time.monotonic() < last:
            for port in self._address.ports:
                self.close()
                self._channel = grpc.insecure_channel(f"{self._address.host}:{port}", options=_OPTIONS)
                try:
                    data = self._send(request, None)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    self._has_replied = True
                    return data
                if not _is_known(self._address.host):
                    return Failure(ErrorType.SERVER_NEVER_STARTED, f"there is no host {self._address.host}")
                self.pause(self._version.retry_s)
        return Failure(ErrorType.SERVER_NEVER_STARTED, f"no server within {self._startup_limit_s:g} s")

    def _send(self, request: bytes, deadline_s: float | None) -> bytes:
        import grpc

        if self._channel is None:
            raise AssertionError("a reply came over no channel")
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(f"/{SERVICE}/{SEND}")
        self._calling = send.future(request, timeout=deadline_s, wait_for_ready=False)
        if self._cancelled.is_set():
            self._calling.cancel()
        try:
            data: bytes = self._calling.result()
        except grpc.FutureCancelledError as error:
            raise Cancelled from error
        except BaseException:  # such as a Ctrl-C
            self._calling.cancel()
            raise
        return data


def _is_known(host: str) -> bool:
    """Whether the server's machine is there at all, and worth waiting for."""
    try:
        socket.gethostbyname(host)
    except socket.gaierror:
        return False
    return True


def _failure(error: Any, version: ApiVersion) -> Failure:
    """What Kaggle calls a call that ended in `error`, a `grpc.RpcError`."""
    import grpc

    details = error.details() or ""
    if no_listener(_ENDPOINT) in details:
        return Failure(ErrorType.SERVER_MISSING_ENDPOINT, f"the server has no endpoint called {_ENDPOINT}")
    if details.startswith(CALLING):
        return Failure(ErrorType.SERVER_RAISED_EXCEPTION, details.removeprefix(CALLING))
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failure(version.deadline_error, version.deadline_details)
    return Failure(ErrorType.SERVER_CONNECTION_FAILED, f"{error.code()}: {details}")
