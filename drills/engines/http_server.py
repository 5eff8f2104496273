"""A small HTTP/1.1 server for the stand-in, on a unix socket or a port of the loopback interface.

asyncio moves the bytes, h11 knows the protocol. uvicorn was tried: it answers 500 where a fake must hang up before it
answers, and waits for streams that a fake must leave hanging when it ends.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import h11

_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """With names in lower case."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer: one body, or pieces as they come."""

    status: int = 200
    body: bytes = b""
    pieces: AsyncGenerator[bytes, None] | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, content: object, status: int = 200, *headers: tuple[str, str]) -> "Response":
        """`content` as JSON."""
        return cls(status, json.dumps(content).encode(), headers=(("content-type", "application/json"), *headers))


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Serves `handler` while it is open; a client that leaves ends its own request."""

    def __init__(self, path: Path | None, handler: Handler) -> None:
        """It listens on the unix socket `path`, or without one on a free port of the loopback interface."""
        self._path, self._handler = path, handler
        self.port = 0
        """The port, where there is no socket."""
        self._server: asyncio.Server | None = None
        self.connections: set[asyncio.Task[None]] = set()
        """One task a connection."""

    async def open(self) -> None:
        """Begin to listen."""
        if self._path is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1")
            self.port = int(self._server.sockets[0].getsockname()[1])
        else:
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def close(self) -> None:
        """Stop listening, and break off what is being served."""
        if self._server is not None:
            self._server.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(_Line(reader, writer)))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)
        with suppress(asyncio.CancelledError):
            await task

    async def _serve(self, line: "_Line") -> None:
        try:
            while (request := await line.read()) is not None:
                answering = asyncio.ensure_future(self._answer(line, request))
                leaving = asyncio.ensure_future(line.wait_for_more())
                try:
                    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    if not answering.done() and line.has_left:
                        return
                    await answering
                finally:
                    await _end(answering, leaving)
                line.next()
        except (ConnectionError, h11.ProtocolError):
            return
        finally:
            await line.close()

    async def _answer(self, line: "_Line", request: Request) -> None:
        response = await self._handler(request)
        await line.begin(response)
        if response.pieces is None:
            await line.send(response.body)
        else:
            async with aclosing(response.pieces) as pieces:
                async for piece in pieces:
                    await line.send(piece)
        await line.end()


async def _end(*tasks: "asyncio.Future[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER)
        self.has_left = False

    async def read(self) -> Request | None:
        """The next request; None once the client has gone."""
        head: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode() for name, value in head.headers}
                return Request(head.method.decode(), head.target.decode(), body, headers)
            else:
                return None

    async def wait_for_more(self) -> None:
        """Return when the client sends more or goes away; which, `has_left` says."""
        data = await self._reader.read(_READ_BYTES)
        self.has_left = not data
        self._http.receive_data(data)

    async def begin(self, response: Response) -> None:
        """Send the head of `response`."""
        length = ("transfer-encoding", "chunked")
        if response.pieces is None:
            length = ("content-length", str(len(response.body)))
        await self._send(h11.Response(status_code=response.status, headers=[*response.headers, length]))

    async def send(self, data: bytes) -> None:
        """Send a part of the body."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """The response is complete."""
        await self._send(h11.EndOfMessage())

    def next(self) -> None:
        """Get ready for another request on the same connection."""
        self._http.start_next_cycle()

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()
