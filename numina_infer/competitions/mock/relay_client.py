"""The relay's gRPC client: it waits for the server to start, calls `predict`, and names failures as Kaggle does.

Waiting, retries and the wording by which failures are told apart were found in kaggle_evaluation; `api_versions` has
the differences between versions.
"""

import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numina_infer.competitions.api_versions import STARTUP_LIMIT_S, ApiVersion, ErrorType
from numina_infer.competitions.mock.reply_rules import Failure
from numina_infer.competitions.wire.grpc_channel import CALLING, OPTIONS, no_listener
from numina_infer.competitions.wire.messages import SEND, SERVICE
from numina_infer.competitions.wire.payloads import decode_reply, encode_request
from numina_infer.core.config import require_positive
from numina_infer.core.errors import GatewayError

if TYPE_CHECKING:
    import grpc
    import polars as pl

_ENDPOINT = "predict"
# A proxy from the environment is for the internet; it doesn't reach the server.
_OPTIONS = (*OPTIONS, ("grpc.enable_http_proxy", 0))


class Cancelled(Exception):  # noqa: N818 (it was asked for, so it is no error)
    """The client was cancelled while it waited."""


class RelayClient:
    """A client of one inference server; close it at the end."""

    def __init__(
        self, host: str, ports: Sequence[int], version: ApiVersion, *, startup_limit_s: float = STARTUP_LIMIT_S
    ) -> None:
        """Make a client that hasn't connected yet; it will try `ports` in turn until one replies.

        Raises:
            ConfigError: `startup_limit_s` isn't above 0.
        """
        require_positive("startup_limit_s", startup_limit_s)
        self._host, self._ports = host, tuple(ports)
        self._version = version
        self._startup_limit_s = startup_limit_s
        self._channel: grpc.Channel | None = None
        self._has_replied = False
        self._cancelled = threading.Event()
        self._calling: Any = None

    def call(self, columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
        """Call `predict`, as `examination.Call`; before the first reply, wait for the server to start.

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
        """End the current call, from another thread, and make no other."""
        self._cancelled.set()
        if (calling := self._calling) is not None:
            calling.cancel()

    def pause(self, seconds: float) -> None:
        """Wait for so many seconds, or until cancelled."""
        self._cancelled.wait(seconds)

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()

    def _look_and_send(self, request: bytes) -> bytes | Failure:
        """Try one port after the other until a server replies or `startup_limit_s` is over."""
        import grpc

        last = time.monotonic() + self._startup_limit_s
        while time.monotonic() < last:
            for port in self._ports:
                self.close()
                self._channel = grpc.insecure_channel(f"{self._host}:{port}", options=_OPTIONS)
                try:
                    data = self._send(request, None)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    self._has_replied = True
                    return data
                if not _is_known(self._host):
                    return Failure(ErrorType.SERVER_NEVER_STARTED, f"there is no host {self._host}")
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
    """Whether that host name exists, so that it is worth waiting for the server."""
    try:
        socket.gethostbyname(host)
    except socket.gaierror:
        return False
    return True


def _failure(error: Any, version: ApiVersion) -> Failure:
    """How Kaggle reports a call that ended with `error`, a `grpc.RpcError`."""
    import grpc

    details = error.details() or ""
    if no_listener(_ENDPOINT) in details:
        return Failure(ErrorType.SERVER_MISSING_ENDPOINT, f"the server has no endpoint called {_ENDPOINT}")
    if details.startswith(CALLING):
        return Failure(ErrorType.SERVER_RAISED_EXCEPTION, details.removeprefix(CALLING))
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failure(version.deadline_error, version.deadline_details)
    return Failure(ErrorType.SERVER_CONNECTION_FAILED, f"{error.code()}: {details}")
