"""The wire's values: what is sent arrives, what can't be sent or read is a GatewayError, and nothing is unpickled."""

import io
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.competitions.messages import PACKAGE, PAYLOAD_FIELDS, message_class
from numina_infer.competitions.payloads import (
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    from_payload,
    to_payload,
)
from numina_infer.core.errors import GatewayError
from tests.competitions.wire.wire_values import Bomb, integers, texts, values

columns = st.lists(texts, max_size=4) | st.lists(integers, max_size=4) | st.lists(st.floats(), max_size=4)


@given(value=values)
def test_values_arrive_as_they_were_sent(value: object) -> None:
    """Each of the type that it had, which tells 1, 1.0 and True apart."""
    arrived = decode_reply(encode_reply(value))
    assert (type(arrived), arrived) == (type(value), value)


@given(name=texts, args=st.lists(values, max_size=3))
def test_calls_arrive_as_they_were_sent(name: str, args: list[object]) -> None:
    """The function's name, and what is given by place."""
    assert decode_request(encode_request(name, *args)) == Request(name, tuple(args))


@given(first=columns, name=texts.map(lambda name: name.replace("\0", "")).filter(bool))
def test_frames_and_series_arrive_in_their_own_library(first: list[Any], name: str) -> None:
    """Names, types and cells, down to NaN and the empty column."""
    polars_frame = pl.DataFrame({name: first})
    arrived = decode_reply(encode_reply(polars_frame))
    assert isinstance(arrived, pl.DataFrame)
    pl.testing.assert_frame_equal(arrived, polars_frame)
    series = decode_reply(encode_reply(polars_frame[name]))
    assert isinstance(series, pl.Series)
    pl.testing.assert_series_equal(series, polars_frame[name])
    pandas_frame = pd.DataFrame({name: pd.Series(first, dtype=None if first else "int64")})
    frame = decode_reply(encode_reply(pandas_frame))
    assert isinstance(frame, pd.DataFrame)
    pd.testing.assert_frame_equal(frame, pandas_frame)


@given(number=integers)
def test_integers_of_numpy_arrive_as_integers(number: int) -> None:
    """Nothing else of numpy is sent."""
    arrived = decode_reply(encode_reply(np.int64(number)))
    assert (type(arrived), arrived) == (int, number)


def test_floats_have_32_bits() -> None:
    """A float loses what these don't hold, as with the real wire."""
    assert decode_reply(encode_reply(0.1)) == np.float32(0.1)


UNSENDABLE = {
    "an object": object(),
    "a set": {1},
    "bytes": b"x",
    "a complex": 1j,
    "beyond 64 bits": 2**63,
    "a list": [1],
    "a dict": {"a": 1},
    "an array": np.arange(3),
    "10**30 in polars": pl.DataFrame({"answer": [10**30]}),
    "10**30 in pandas": pd.DataFrame({"answer": [10**30]}),
    "objects in polars": pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}),
    "an enum column": pl.DataFrame({"x": pl.Series(["a"], dtype=pl.Enum(["a"]))}),
    "a name that makes polars panic": pl.DataFrame({"a\0": [1]}),
    "half a surrogate pair": "\ud800",
}


@pytest.mark.parametrize("value", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_is_named(value: object) -> None:
    """One kind of error whichever library gave up."""
    with pytest.raises(GatewayError, match="can't be sent"):
        encode_reply(value)


def pickled_array() -> bytes:
    """An array that numpy would unpickle if it was allowed to."""
    file = io.BytesIO()
    np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("field", [name for name, (_, kind) in PAYLOAD_FIELDS.items() if kind == "bytes"])
@pytest.mark.parametrize("data", [pickle.dumps(Bomb()), pickled_array(), b"", b"\x93NUMPY"], ids=range(4))
def test_nothing_is_unpickled(field: str, data: bytes) -> None:
    """Pickles where frames and arrays are due, and bytes that are nothing, are refused."""
    payload = message_class("Payload")(**{field: data})
    with pytest.raises(GatewayError, match=field):
        from_payload(payload)


def test_a_payload_of_an_unknown_kind_is_named() -> None:
    """Version 1.4 sends dataclasses in field 18; nothing of theirs is imported."""
    newer = message_class("Payload").FromString(b"\x92\x01\x03\x0a\x01x")
    with pytest.raises(GatewayError, match="no kind that is known here"):
        from_payload(newer)


@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_message_are_a_gateway_error(data: bytes) -> None:
    """Any bytes from the network are a call or raise this error."""
    try:
        assert isinstance(decode_request(data), Request)
    except GatewayError:
        return


def test_the_real_packages_messages_may_live_beside_ours() -> None:
    """It registers the same names in protobuf's own pool, where a second of one name clashes."""
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    ours = message_class("Payload")
    ours_file = FileDescriptorProto()
    ours.DESCRIPTOR.file.CopyToProto(ours_file)
    assert ours_file.package == PACKAGE
    ours_file.name = "kaggle_evaluation.proto"
    default: Any = descriptor_pool.Default()
    default.AddSerializedFile(ours_file.SerializeToString())
    theirs = default.FindMessageTypeByName(f"{PACKAGE}.Payload")
    assert theirs is not ours.DESCRIPTOR
    assert from_payload(to_payload(7)) == 7
