"""The client's way over a unix socket."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.lowlevel import checkpoint

from drills.engines.http_server import HttpServer, Request, Response
from numina_infer.engines.http.address import Address

pytestmark = pytest.mark.anyio


async def test_a_read_that_is_cancelled_in_the_moment_data_comes_leaves_nothing_in_the_log(
    sockets: Path,
) -> None:
    """At a cutoff all trajectories are; what the loop logs fails a test here."""
    scope = anyio.CancelScope()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"first"
        for _ in range(20):
            await checkpoint()  # the client waits for more by then
        yield b"more"
        await checkpoint()  # the loop knows of it, and hasn't told the client yet
        scope.cancel()

    async def answer(request: Request) -> Response:
        return Response(pieces=pieces())

    server = HttpServer(sockets / "s", answer)
    await server.open()
    async with Address.parse(str(sockets / "s")).client() as client:
        with scope:
            async with client.stream("GET", "/") as response:
                assert [data async for data in response.aiter_bytes()] == []
    assert scope.cancelled_caught
    await server.close()


async def test_what_goes_wrong_with_a_socket_is_an_error_of_the_system_or_the_client(sockets: Path) -> None:
    """Nobody there; and one that hangs up without a word."""

    async def hang_up(request: Request) -> Response:
        raise ConnectionResetError

    address = Address.parse(str(sockets / "s"))
    async with address.client() as client:
        with pytest.raises(OSError, match="No such file"):
            await client.get("/")
        server = HttpServer(sockets / "s", hang_up)
        await server.open()
        with pytest.raises(httpx2.TransportError):
            await client.get("/")
        await server.close()


async def test_a_connection_is_used_again_until_the_server_closes_it(sockets: Path) -> None:
    """Then a new one is made, without an error."""

    async def greet(request: Request) -> Response:
        return Response(body=request.path.encode())

    async with Address.parse(str(sockets / "s")).client() as client:
        for path in ("/a", "/b"):
            server = HttpServer(sockets / "s", greet)
            await server.open()
            assert [(await client.get(path)).text for _ in range(2)] == [path, path]
            assert len(server.connections) == 1
            await server.close()
