"""Our own inference server, which serves `predict` as `kaggle_evaluation`'s does, for where that package is missing.

On a laptop `mock.relay` calls it. In a rerun it takes over if Kaggle's package can't be found or loaded, which works
since Kaggle's relay sends the same messages.
As in Kaggle's server, calls run one at a time on a thread, messages have any size, and an exception's text is sent.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from numina_infer.competitions.api_versions import ApiVersion, Predict
from numina_infer.competitions.messages import CHANNEL_OPTIONS, SEND, SERVICE, no_listener, require_packages
from numina_infer.core.errors import GatewayError

if TYPE_CHECKING:
    import grpc


_SIGNAL_LATENCY_S = 0.1
"""How often the main thread wakes up: gRPC's threads may receive a Ctrl-C, and Python then acts on it."""


class InferenceServer:
    """Listens inside `with`; there, `serve` blocks until `stop` is called."""

    def __init__(
        self, predict: Predict, version: ApiVersion, *, ports: Sequence[int] = (), is_rerun: bool = False
    ) -> None:
        """Make a server that doesn't listen yet.

        It takes the first free one of `ports`, where 0 is any, or of the version's, where the relay looks.
        In a rerun it listens on every interface, since the relay is in another container; else on localhost.

        Raises:
            ConfigError: a package is missing, or Kaggle's server would refuse to register `predict`.
        """
        require_packages()
        version.require_listener(predict)
        self._predict = predict
        self.ports = tuple(ports) or version.ports
        """The first free one of these is taken."""
        self._host = "[::]" if is_rerun else "127.0.0.1"
        self._server: grpc.Server | None = None
        self._ended = threading.Event()
        self._interrupt: BaseException | None = None
        self.port = 0
        """The port that it listens on; 0 before that."""

    def __enter__(self) -> Self:
        """Listen; `GatewayError` if no port is free."""
        import grpc

        # It has no serializers, so that it takes and gives bytes.
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._reply)
        server = grpc.server(
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict"),
            handlers=[grpc.method_handlers_generic_handler(SERVICE, {SEND: handler})],
            # Else two servers could share a port, and calls would go to either.
            options=(*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)),
        )
        self.port = self._listen(server)
        server.start()
        self._server = server
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self) -> None:
        """Block until the server is stopped, by `stop` or a Ctrl-C; calls that run then get no reply.

        An exception of `predict` that is no `Exception`, such as `SystemExit`, is raised here.
        """
        while not self._ended.wait(_SIGNAL_LATENCY_S):
            pass
        if self._interrupt is not None:
            raise self._interrupt

    def stop(self) -> None:
        """Stop listening; any thread may call this, any number of times."""
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
        """Answer one call; gRPC sends the message of an exception that is raised here."""
        from numina_infer.competitions.payloads import decode_request, encode_reply

        request = decode_request(data)
        if request.name != self._predict.__name__:
            raise NotImplementedError(f"{no_listener(request.name)}.")
        try:
            reply = self._predict(*request.args)
        except Exception:
            raise
        except BaseException as interrupt:
            # gRPC sends no reply for one of these, so `serve` ends and the relay sees that the server is gone.
            self._interrupt = interrupt
            self._ended.set()
            raise
        return encode_reply(reply)
