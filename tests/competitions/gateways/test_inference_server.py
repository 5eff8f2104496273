"""Our own inference server, asked over gRPC as Kaggle's relay asks."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import polars as pl
import pytest

from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.gateways import make_predict
from numina_infer.competitions.inference_server import InferenceServer
from numina_infer.competitions.payloads import decode_reply, encode_request
from numina_infer.core.errors import ConfigError, GatewayError
from tests.competitions.relays import ANY_PORT

NEWEST = API_VERSIONS["1.4.0"]


def ask(port: int, name: str = "predict", *, timeout_s: float = 60.0) -> object:
    """One call of the function `name`."""
    request = encode_request(name, pl.Series("id", ["007"]), pl.Series("problem", ["1+1?"]))
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/kaggle_evaluation_client.KaggleEvaluationService/Send"
        )
        return decode_reply(send(request, timeout=timeout_s))


def serving(predict: Predict) -> InferenceServer:
    """A server on any port."""
    return InferenceServer(predict, NEWEST, ports=ANY_PORT)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_call_has_the_frame_that_predict_returned() -> None:
    """One row, id as it came, 64-bit integer."""
    with serving(make_predict(lambda problem: len(problem.statement))) as server:
        reply = ask(server.port)
    assert isinstance(reply, pl.DataFrame)
    assert reply.to_dict(as_series=False) == {"id": ["007"], "answer": [4]}
    assert reply.dtypes == [pl.String, pl.Int64]


@pytest.mark.parametrize("is_rerun", [False, True])
def test_the_first_free_port_is_taken(taken: int, free: int, is_rerun: bool) -> None:
    """Never one on which another process listens, so that no call goes astray."""
    predict = make_predict(lambda _: 5)
    with InferenceServer(predict, NEWEST, ports=(taken, free), is_rerun=is_rerun) as server:
        assert server.port == free
        assert isinstance(ask(server.port), pl.DataFrame)


def test_two_servers_share_no_port(free: int) -> None:
    """GRPC would let them, and the relay would speak to either."""
    predict = make_predict(lambda _: 5)
    with (
        InferenceServer(predict, NEWEST, ports=(free,)),
        pytest.raises(GatewayError, match=f"none of the ports {free} is free"),
        InferenceServer(predict, NEWEST, ports=(free,)),
    ):
        pass


@pytest.mark.parametrize(("version", "ports"), [("0.3.0", {50051}), ("0.9.0", {50051, *range(60053, 60063)})])
def test_without_a_choice_it_listens_where_the_relay_looks(version: str, ports: set[int]) -> None:
    """Whichever of the ports is free on this machine."""
    server = InferenceServer(make_predict(lambda _: 5), API_VERSIONS[version])
    assert set(server.ports) == ports


def test_what_predict_raises_travels_as_its_message() -> None:
    """In the words by which the relay knows it."""

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        raise RuntimeError("no model here")

    with serving(predict) as server, pytest.raises(grpc.RpcError) as raised:
        ask(server.port)
    assert raised.value.code() is grpc.StatusCode.UNKNOWN
    assert raised.value.details() == "Exception calling application: no model here"


def test_a_function_that_is_not_there_is_told_so() -> None:
    """In the words by which the relay knows it."""
    with serving(make_predict(lambda _: 5)) as server, pytest.raises(grpc.RpcError) as raised:
        ask(server.port, "answer")
    assert "No listener for answer was registered" in str(raised.value.details())


def test_calls_come_one_at_a_time_on_a_thread_that_is_not_the_main_one() -> None:
    """As with Kaggle's server: a second call waits."""
    inside: list[str] = []
    threads: set[int] = set()

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        threads.add(threading.get_ident())
        inside.append("in")
        inside.append("out")
        return None

    with serving(predict) as server, ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda _: ask(server.port), range(8)))
    assert inside == ["in", "out"] * 8
    assert len(threads) == 1
    assert threads.isdisjoint({threading.get_ident()})


def test_an_exit_in_predict_ends_the_serving_and_is_no_reply() -> None:
    """`sys.exit()` on the thread of a call would otherwise leave relay and server waiting for ever."""

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        raise SystemExit(3)

    with ThreadPoolExecutor(1) as caller, serving(predict) as server:
        call = caller.submit(ask, server.port)
        with pytest.raises(SystemExit):
            server.serve()
        assert not call.done()
        server.stop()
        assert isinstance(call.exception(), grpc.RpcError)


def test_stopping_waits_for_no_call() -> None:
    """A wedged predict keeps nobody from ending the kernel in order."""
    inside, wedge = threading.Event(), threading.Event()

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        inside.set()
        return wedge.wait()

    with ThreadPoolExecutor(1) as caller:
        with serving(predict) as server:
            call = caller.submit(ask, server.port)
            inside.wait()
        assert isinstance(call.exception(), grpc.RpcError)
        wedge.set()


def test_a_listener_that_kaggle_would_refuse_is_refused() -> None:
    """At once, not at the first call."""
    with pytest.raises(ConfigError, match="function named predict"):
        serving(lambda id_, problem: None)
