"""The relay's gRPC client, which waits for the server, calls `predict` and names failures as Kaggle does; and a proxy.

Waiting, retries and the wording by which failures are told apart were found in kaggle_evaluation; `api_versions` has
the differences between versions.
"""

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from numina_infer.competitions.api_versions import STARTUP_LIMIT_S, ApiVersion, ErrorType
from numina_infer.competitions.messages import CALLING, CHANNEL_OPTIONS, SEND, SERVICE, no_listener
from numina_infer.competitions.mock.kaggle_evaluation import Failure
from numina_infer.core.config import require_positive
from numina_infer.core.errors import GatewayError

if TYPE_CHECKING:
    import grpc
    import polars as pl

_ENDPOINT = "predict"
# A proxy from the environment is for the internet; it doesn't reach the server.
_OPTIONS = (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0))
_CHUNK = 65536


class Cancelled(Exception):  # noqa: N818 (it was asked for, so it is no error)
    """The client was cancelled while it waited."""


class RelayClient:
    """A client of one inference server on this machine; close it at the end."""

    def __init__(self, ports: Sequence[int], version: ApiVersion, *, startup_limit_s: float = STARTUP_LIMIT_S) -> None:
        """Make a client that will try `ports` in turn until one replies; `ConfigError` if the limit isn't above 0."""
        require_positive("startup_limit_s", startup_limit_s)
        self._ports, self._version, self._startup_limit_s = tuple(ports), version, startup_limit_s
        self._channel: grpc.Channel | None = None
        self._cancelled = threading.Event()
        self._calling: Any = None

    def call(self, columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
        """Call `predict`, as `kaggle_evaluation.Call`; before the first reply, wait for the server to start.

        Raises:
            Cancelled: by another thread.
        """
        import grpc

        from numina_infer.competitions.payloads import decode_reply, encode_request

        request = encode_request(_ENDPOINT, *columns)
        try:
            data = self._send(self._channel, request, deadline_s) if self._channel else self._look_and_send(request)
        except grpc.RpcError as error:
            return _failure(error, self._version)
        if data is None:
            return Failure(ErrorType.SERVER_NEVER_STARTED, f"no server within {self._startup_limit_s:g} s")
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

    def _look_and_send(self, request: bytes) -> bytes | None:
        """Try one port after the other until a server replies; None once `startup_limit_s` is over."""
        import grpc

        last = time.monotonic() + self._startup_limit_s
        while time.monotonic() < last:
            for port in self._ports:
                channel = grpc.insecure_channel(f"localhost:{port}", options=_OPTIONS)
                try:
                    data = self._send(channel, request, None)
                except grpc.RpcError as error:
                    channel.close()
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    self._channel = channel
                    return data
                self.pause(self._version.retry_s)
        return None

    def _send(self, channel: "grpc.Channel", request: bytes, deadline_s: float | None) -> bytes:
        import grpc

        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/{SEND}")
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


class TcpProxy:
    """Passes connections to a port of this machine on to another, and can cut one when a reply is on its way.

    gRPC sees a connection that broke in the middle of a call, as may happen between two containers, and calls again.
    """

    def __init__(self, server_port: int) -> None:
        """Listen on a free port."""
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._is_armed = False
        self.port: int = self._listener.getsockname()[1]
        """The free port that it listens on."""
        threading.Thread(target=self._accept, name="tcp-proxy", daemon=True).start()

    def arm(self) -> None:
        """Cut the connection on which the server sends something next, before that arrives."""
        with self._lock:
            self._is_armed = True

    def close(self) -> None:
        """Stop listening; a connection lasts until its client or the server closes it."""
        # close() alone doesn't wake a thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), name="tcp-proxy", daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        # A missing server looks to the client like one that hangs up.
        address = ("localhost", self._server_port)
        with client, suppress(OSError), socket.create_connection(address) as server:
            back = threading.Thread(target=self._pump, args=(server, client, True), name="tcp-proxy", daemon=True)
            back.start()
            self._pump(client, server, False)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, is_back: bool) -> None:
        """Pass data on until either end is closed; then close both."""
        with suppress(OSError):
            while (data := source.recv(_CHUNK)) and not (is_back and self._cuts()):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cuts(self) -> bool:
        """Whether to cut the connection now; disarms the proxy."""
        with self._lock:
            was_armed, self._is_armed = self._is_armed, False
        return was_armed
