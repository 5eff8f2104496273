"""Our own inference server: what `kaggle_evaluation`'s does for `predict`, for where that package isn't.

On a laptop it is called by `mock.relay`. In a rerun it is the best path left if the real package can't be found or
loaded, since Kaggle's relay speaks the same wire.
As there: one call at a time, on a thread of its own, messages of any size, and an exception travels as its message.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from numina_infer.competitions.api_versions import ApiVersion, Predict
from numina_infer.competitions.wire.grpc_channel import OPTIONS, no_listener
from numina_infer.competitions.wire.messages import SEND, SERVICE
from numina_infer.competitions.wire.payloads import decode_request, encode_reply, require_packages
from numina_infer.core.errors import GatewayError

if TYPE_CHECKING:
    import grpc


_SIGNAL_LATENCY_S = 0.1
"""A Ctrl-C may be delivered to one of gRPC's threads; Python acts on it when the main thread wakes up."""


class InferenceServer:
    """Listens inside `with`; `serve` then blocks until somebody calls `stop`."""

    def __init__(
        self, predict: Predict, version: ApiVersion, *, ports: Sequence[int] = (), is_rerun: bool = False
    ) -> None:
        """Make a server that doesn't listen yet.

        Args:
            predict: what is called, by its own name.
            version: whose relay will call.
            ports: the first free one is taken, 0 being any; none takes the version's, where the relay looks.
            is_rerun: listen on every interface, since the relay is in another container; else on this machine's own.

        Raises:
            ConfigError: a package is missing, or `predict` is nothing that Kaggle's server would register.
        """
        require_packages()
        version.require_listener(predict)
        self._predict = predict
        self.ports = tuple(ports) or version.ports
        """Of which the first free one is taken."""
        self._host = "[::]" if is_rerun else "127.0.0.1"
        self._server: grpc.Server | None = None
        self._ended = threading.Event()
        self._interrupt: BaseException | None = None
        self.port = 0
        """Where it listens."""

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            GatewayError: no port is free.
        """
        import grpc

        # Without serializers, so bytes come and go.
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._reply)
        server = grpc.server(
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict"),
            handlers=[grpc.method_handlers_generic_handler(SERVICE, {SEND: handler})],
            # Otherwise two servers may share a port, and calls go to either.
            options=(*OPTIONS, ("grpc.so_reuseport", 0)),
        )
        self.port = self._listen(server)
        server.start()
        self._server = server
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self) -> None:
        """Block until the server is stopped, by `stop` or a Ctrl-C; calls that are out then have no reply.

        Raises:
            BaseException: what `predict` raised that is no `Exception`, such as `SystemExit`.
        """
        while not self._ended.wait(_SIGNAL_LATENCY_S):
            pass
        if self._interrupt is not None:
            raise self._interrupt

    def stop(self) -> None:
        """Listen no longer; from any thread, and as often as one likes."""
        self._ended.set()
        if self._server is not None:
            self._server.stop(None).wait()

    def _listen(self, server: "grpc.Server") -> int:
        for port in self.ports:
            try:
                return server.add_insecure_port(f"{self._host}:{port}")
            except RuntimeError:  # it is taken
                continue
        ports = ", ".join(map(str, self.ports))
        raise GatewayError(f"none of the ports {ports} is free, where Kaggle's relay looks; end what listens there")

    def _reply(self, data: bytes, _: "grpc.ServicerContext") -> bytes:
        """One call; gRPC sends the message of what is raised."""
        request = decode_request(data)
        if request.name != self._predict.__name__:
            raise NotImplementedError(f"{no_listener(request.name)}.")
        try:
            reply = self._predict(*request.args, **request.kwargs)
        except Exception:
            raise
        except BaseException as interrupt:
            # gRPC sends no reply for one of these: whoever serves ends, and the relay sees a server that went.
            self._interrupt = interrupt
            self._ended.set()
            raise
        return encode_reply(reply)
