"""What comes over the relay's wire, at its worst: a call, a value, or a `GatewayError`; nothing is unpickled."""

import io
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import ipc

from numina_infer.competitions.api_versions import API_VERSIONS, ApiVersion
from numina_infer.competitions.gateways import AimoGateway, make_predict
from numina_infer.competitions.inference_server import InferenceServer
from numina_infer.competitions.messages import PAYLOAD_FIELDS, message_class
from numina_infer.competitions.mock.kaggle_evaluation import Failure, read_reply
from numina_infer.competitions.payloads import (
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    from_payload,
)
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem
from tests.competitions.wire.wire_values import Bomb, values
from tests.fuzz.damage import damaged

KNOWN = (
    *(str, bool, int, float, type(None)),
    *(pd.DataFrame, pl.DataFrame, pl.Series),
)
"""What a value may be."""
CALLS = [
    encode_request("predict", pl.Series("id", ["a"]), pl.Series("problem", ["What is 1+1?"])),
    encode_request("predict", pl.DataFrame({"id": ["a"], "problem": ["?"]}), pd.DataFrame({"x": [1.5]})),
    encode_request("predict", pl.Series("x", [1.5, None]), np.int64(7)),
    encode_request("predict", 1, None, True, "a", 1.5),
]
REPLIES = [
    encode_reply(pl.DataFrame({"id": ["a"], "answer": [52]})),
    encode_reply(pd.DataFrame({"id": ["a"], "answer": [52]})),
    encode_reply(2.5),
]


@given(st.sampled_from(CALLS).flatmap(damaged))
def test_a_damaged_call_is_a_call_or_a_gateway_error(data: bytes) -> None:
    """Frames, series and arrays in it are damaged too."""
    with suppress(GatewayError):
        request = decode_request(data)
        assert isinstance(request, Request)
        assert all(isinstance(value, KNOWN) for value in request.args)


@given(st.sampled_from(REPLIES).flatmap(damaged))
def test_a_damaged_reply_is_a_value_or_a_gateway_error(data: bytes) -> None:
    """As a relay reads it."""
    with suppress(GatewayError):
        assert isinstance(decode_reply(data), KNOWN)


@pytest.mark.parametrize("field", [name for name, (_, kind) in PAYLOAD_FIELDS.items() if kind == "bytes"])
@given(st.data())
def test_bytes_of_any_kind_are_a_value_of_their_kind_or_a_gateway_error(field: str, data: st.DataObject) -> None:
    """A frame's bytes where an array is due, half of them, and no frame at all."""
    good = st.sampled_from([*CALLS, *REPLIES]).map(bytes)
    content = data.draw(st.binary(max_size=100) | good | good.flatmap(damaged) | st.sampled_from(ARCHIVES))
    payload = message_class("Payload")(**{field: content})
    with suppress(GatewayError):
        assert isinstance(from_payload(payload), KINDS[field])


KINDS: dict[str, Any] = {
    "pandas_dataframe_value": pd.DataFrame,
    "polars_dataframe_value": pl.DataFrame,
    "polars_series_value": pl.Series,
}


def archive(*arrays: "np.ndarray[Any, Any]") -> bytes:
    """Arrays in a zip file, which numpy's loader takes too."""
    file = io.BytesIO()
    np.savez(file, *arrays)
    return file.getvalue()


def python_type() -> bytes:
    """An Arrow stream with a type whose class old versions of pyarrow unpickled on reading (CVE-2023-47248)."""
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Bomb()),
    }
    schema = pa.schema([pa.field("x", pa.int64(), metadata=metadata)])
    file = io.BytesIO()
    with ipc.new_stream(file, schema) as stream:
        stream.write_table(pa.Table.from_arrays([pa.array([1])], schema=schema))
    return file.getvalue()


ARCHIVES = [archive(np.arange(3)), archive(), python_type()]


def test_an_arrow_type_that_python_would_unpickle_stays_bytes() -> None:
    """Whatever the installed pyarrow does with it, it doesn't go off."""
    payload = message_class("Payload")(polars_dataframe_value=python_type())
    with suppress(GatewayError):
        assert isinstance(from_payload(payload), pl.DataFrame)


cells = st.lists(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.lists(st.text())
    | st.binary(),
    max_size=3,
)
frames = st.dictionaries(
    st.sampled_from(["id", "answer", "", "x"]), st.lists(cells, min_size=1, max_size=1), max_size=3
)


def made(make: Callable[..., Any], content: object) -> object:
    """A frame of `content`, or something like a frame where its library refuses that."""
    try:
        return make(content)
    except Exception:  # noqa: BLE001 (what a library makes of it isn't the point)
        return content


replies = (
    values
    | frames.map(lambda content: made(pl.DataFrame, content))
    | frames.map(lambda content: made(pd.DataFrame, content))
)


@given(replies, st.sampled_from(list(API_VERSIONS)))
def test_any_reply_is_an_answer_or_a_failure(reply: object, name: str) -> None:
    """As the mock's relay takes them, whatever predict returned."""
    taken = read_reply(reply, "a", API_VERSIONS[name])
    assert isinstance(taken, Failure | int | float | str)


@given(st.sampled_from(CALLS).flatmap(damaged) | st.binary(max_size=80))
def test_an_inference_server_has_a_reply_or_an_error_for_every_message(data: bytes) -> None:
    """Whatever comes, predict gets one id and one statement, or isn't called."""
    seen: list[Problem] = []

    def answer(problem: Problem) -> int:
        seen.append(problem)
        return 7

    server = InferenceServer(make_predict(answer), some_version())
    with suppress(GatewayError, NotImplementedError, TypeError):
        reply = decode_reply(server._reply(data, None))  # type: ignore[arg-type] # it looks at no context
        assert isinstance(reply, pl.DataFrame)
        assert reply["answer"].to_list() == [7]
    assert {type(text) for problem in seen for text in (problem.id, problem.statement)} <= {str}


def some_version() -> ApiVersion:
    """Any."""
    return next(iter(API_VERSIONS.values()))


@given(st.lists(st.sampled_from(["id", "problem", "x"]), max_size=4), st.sampled_from([1, 1, 0, 2]), st.data())
@example(["id", "problem", "id"], 1, None)
def test_a_batch_of_the_older_api_is_a_problem_or_a_gateway_error(
    names: list[str], num_rows: int, data: st.DataObject | None
) -> None:
    """Of any columns and rows, columns of one name among them."""
    cell = st.none() | st.integers() | st.floats() | st.text(max_size=5)
    content = [[data.draw(cell) if data else "a" for _ in names] for _ in range(num_rows)]
    seen: list[Problem] = []

    class Env:
        def iter_test(self) -> Any:
            yield pd.DataFrame(content, columns=names), pd.DataFrame({"id": ["a"], "answer": [0]})

        def predict(self, submission: pd.DataFrame, /) -> None:
            assert list(submission["answer"]) == [5]

    def answer(problem: Problem) -> int:
        seen.append(problem)
        return 5

    with suppress(GatewayError):
        AimoGateway(Env()).serve(answer)
    good = num_rows == 1 and names.count("id") == names.count("problem") == 1
    assert len(seen) == good
