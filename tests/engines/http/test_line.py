"""What fails between us and an endpoint, however it fails, is a lost turn and a look that found nothing."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import h11
import httpx2
import pytest

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.engines.http.address import Address
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.wire import Abilities, Dialect, EndpointLostError, TextReply, TurnRequest

pytestmark = pytest.mark.anyio
TURN = TurnRequest("1 + 1", SamplingParams(), max_tokens=5, seed=0, priority=0)
FAILURES: list[Callable[[], Exception]] = [
    lambda: httpx2.ConnectError("nobody"),
    lambda: httpx2.RemoteProtocolError("nonsense"),
    lambda: httpx2.DecodingError("no gzip"),
    httpx2.StreamClosed,
    lambda: httpx2.InvalidURL("a redirect to nowhere"),
    lambda: httpx2.CookieConflict("two of a name"),
    lambda: RuntimeError("unable to perform operation on <TCPTransport closed>; the handler is closed"),
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    lambda: h11.LocalProtocolError("too much data for the declared length"),
    lambda: h11.RemoteProtocolError("illegal status line"),
    lambda: ssl.SSLError("the record is cut"),
    lambda: ConnectionResetError("gone"),
    lambda: UnicodeError("the label is too long"),
]


class Failing(httpx2.AsyncBaseTransport):
    """A transport that fails: before a response comes, in the middle of it, or when it is closed."""

    def __init__(self, failure: Exception, *, pieces: int) -> None:
        self._failure, self._pieces = failure, pieces

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """A response, if the failure is in its stream."""
        if self._pieces < 0:
            raise self._failure
        return httpx2.Response(200, stream=_Stream(self._failure, self._pieces))


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, failure: Exception, pieces: int) -> None:
        self._failure, self._pieces = failure, pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._pieces):
            yield b'data: {"choices": [{"text": "2"}]}\n'
        raise self._failure

    async def aclose(self) -> None:
        raise self._failure


@asynccontextmanager
async def endpoint_on(
    transport: httpx2.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Endpoint]:
    """An endpoint that was greeted, whose client has that transport."""
    client = httpx2.AsyncClient(base_url="http://host", transport=transport)
    monkeypatch.setattr(Address, "client", lambda self: client)
    async with Endpoint(Address.parse("http://host")) as endpoint:
        endpoint.abilities = Abilities("m", Dialect.TEXT)
        yield endpoint


async def assert_lost(endpoint: Endpoint) -> None:
    """For a turn, for a greeting, and for every look."""
    with pytest.raises(EndpointLostError):
        await endpoint.play(TURN, TextReply(SamplingParams()).take)
    with pytest.raises(EngineError):
        await endpoint.greet()
    assert not await endpoint.is_healthy()
    assert await endpoint.metrics() == ""


@pytest.mark.parametrize("pieces", [-1, 0, 2], ids=["before", "at once", "in the middle"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda make: type(make()).__name__)
async def test_a_line_that_fails_is_a_lost_turn(
    failure: Callable[[], Exception], pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever layer the error comes from, and whenever; closing the line may fail too."""
    async with endpoint_on(Failing(failure(), pieces=pieces), monkeypatch) as endpoint:
        await assert_lost(endpoint)


@pytest.mark.parametrize("address", ["/nowhere/socket", "http://127.0.0.1:9", f"http://{'a' * 70}.invalid"])
async def test_a_client_that_was_closed_has_lost_its_turns(address: str) -> None:
    """It raises what is no error of its own; so does a resolver."""
    async with Endpoint(Address.parse(address)) as endpoint:
        endpoint.abilities = Abilities("m", Dialect.TEXT)
        await assert_lost(endpoint)
    await assert_lost(endpoint)


async def test_a_turn_that_is_complete_is_kept_when_its_connection_breaks_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All was said; what becomes of the connection is no matter."""
    said = b'data: {"choices": [{"text": "2", "finish_reason": "stop"}]}\ndata: [DONE]\n'

    class Complete(_Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield said

    class Transport(Failing):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, stream=Complete(RuntimeError("closed twice"), 0))

    reply = TextReply(SamplingParams())
    async with endpoint_on(Transport(RuntimeError(), pieces=0), monkeypatch) as endpoint:
        await endpoint.play(TURN, reply.take)
    assert reply.completion(0).text == "2"


async def test_an_error_of_ours_in_the_middle_of_a_turn_is_no_lost_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would be tried again for ever."""

    class Broken(TextReply):
        def take(self, chunk: object) -> bool:
            raise RuntimeError("a mistake of ours")

    async with endpoint_on(Failing(RuntimeError(), pieces=1), monkeypatch) as endpoint:
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            await endpoint.play(TURN, Broken(SamplingParams()).take)


@pytest.mark.parametrize("charset", ["undefined", "zlib_codec", "rot13", "no-such"])
async def test_a_charset_that_is_none_is_not_taken(charset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server names it; some of Python's codecs don't make texts of bytes."""

    class Told(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            headers = {"content-type": f"text/plain; charset={charset}"}
            return httpx2.Response(500 if request.method == "POST" else 200, headers=headers, content=b"busy: 1")

    async with endpoint_on(Told(), monkeypatch) as endpoint:
        assert await endpoint.metrics() == "busy: 1"
        with pytest.raises(EndpointLostError, match="busy: 1"):
            await endpoint.play(TURN, TextReply(SamplingParams()).take)


def test_every_root_of_the_clients_errors_is_known() -> None:
    """A new one in a newer version is to be looked at."""
    errors = {error for error in vars(httpx2).values() if isinstance(error, type) and issubclass(error, Exception)}
    roots = {error for error in errors if error.__base__ in {Exception, RuntimeError}}
    assert roots == {httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict}
