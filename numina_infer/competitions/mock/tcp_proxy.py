"""A TCP proxy between relay and server that can cut a connection when a reply is on its way.

gRPC sees a connection that broke in the middle of a call, as may happen between two containers, and calls again.
"""

import socket
import threading
from contextlib import suppress

_CHUNK = 65536


class TcpProxy:
    """Forwards connections to `port` on this machine to a server, and its replies back."""

    def __init__(self, host: str, port: int) -> None:
        """Listen on a free port; `host` and `port` are the server's."""
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._is_armed = False
        self.num_cuts = 0
        """Connections that were cut so far."""
        threading.Thread(target=self._accept, name="tcp-proxy", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

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
        with client, suppress(OSError), socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._pump, args=(server, client, True), name="tcp-proxy", daemon=True)
            back.start()
            self._pump(client, server, False)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, is_back: bool) -> None:
        """Pass data on until either end is closed; then close both."""
        with suppress(OSError):
            while (data := source.recv(_CHUNK)) and not (is_back and self._cuts()):
                target.sendall(data)
        _shut(source)
        _shut(target)

    def _cuts(self) -> bool:
        """Whether to cut the connection now; disarms the proxy."""
        with self._lock:
            was_armed, self._is_armed = self._is_armed, False
            self.num_cuts += was_armed
        return was_armed


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
