"""Convert values of Python to messages and back; imported when a value is sent, since it needs all frame libraries.

    decode_request(encode_request("predict", "a", 52)) == Request("predict", ("a", 52))

Frames of pandas travel as Parquet, frames of polars as an Arrow stream, its series as Parquet: all of these hold data
alone, and nothing that arrives is unpickled.
The package also sends lists, arrays and, in newer versions, models; no competition does, so these are refused.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from polars.exceptions import PanicException
from pyarrow import ipc

from numina_infer.competitions.messages import REQUEST, RESPONSE, message_class, parse
from numina_infer.core.errors import GatewayError

_MAX_INT = 2**63
_FAULTS = (Exception, PanicException)
"""The errors of libraries that can't write or read a value; a panic of polars is no `Exception`."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the function `name`."""

    name: str
    args: tuple[object, ...] = ()


def encode_request(name: str, *args: object) -> bytes:
    """The message that calls the function `name`; `GatewayError` if an argument can't be sent, see `to_payload`."""
    return bytes(message_class(REQUEST)(name=name, args=map(to_payload, args)).SerializeToString())


def decode_request(data: bytes) -> Request:
    """The call in a message; `GatewayError` if it is none, or holds a value that can't be read."""
    request = parse(REQUEST, data)
    return Request(request.name, tuple(map(from_payload, request.args)))


def encode_reply(value: object) -> bytes:
    """The message that replies with `value`; `GatewayError` if that can't be sent, see `to_payload`."""
    return bytes(message_class(RESPONSE)(payload=to_payload(value)).SerializeToString())


def decode_reply(data: bytes) -> object:
    """The value in a reply; `GatewayError` if it is none, or its value can't be read."""
    return from_payload(parse(RESPONSE, data).payload)


def to_payload(value: object) -> Any:
    """`value` as a `Payload` message.

    Raises:
        GatewayError: its type isn't sent, or the value can't be written: an integer beyond 64 bits, a column of a type
            that Arrow lacks.
    """
    kind = next((kind for kind in _KINDS if isinstance(value, kind.type)), None)
    if kind is None:
        raise GatewayError(f"a {type(value).__name__} can't be sent; send text, a number, a frame or a series")
    try:
        return message_class("Payload")(**{kind.field: kind.encode(value)})
    except GatewayError:
        raise
    except _FAULTS as error:
        raise GatewayError(f"the {type(value).__name__} {value!r:.200} can't be sent: {error}") from error


def from_payload(payload: Any) -> object:
    """The value in a `Payload` message; `GatewayError` if its kind is unknown, or the value can't be read."""
    name = payload.WhichOneof("value")
    kind = next((kind for kind in _KINDS if kind.field == name), None)
    if kind is None:
        raise GatewayError("a payload came of no kind that is known here: no text, number, frame or series")
    try:
        return kind.decode(getattr(payload, kind.field))
    except GatewayError:
        raise
    except _FAULTS as error:
        raise GatewayError(f"a {kind.field} came that can't be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of value: its type, its field, and how it is written and read."""

    type: type
    field: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], object]


def _encode_int(value: "int | np.integer[Any]") -> int:
    if not -_MAX_INT <= value < _MAX_INT:
        raise GatewayError(f"the integer {value!r:.60} is beyond 64 bits and can't be sent")
    return int(value)


def _encode_pandas(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, index=False, compression="lz4")
    return file.getvalue()


def _encode_polars(frame: pl.DataFrame) -> bytes:
    refused = {kind.base_type() for kind in frame.dtypes} & {pl.Enum, pl.Object, pl.Unknown}
    if refused:
        raise GatewayError(f"columns of {', '.join(sorted(map(str, refused)))} can't be sent")
    table = frame.to_arrow()
    file = io.BytesIO()
    with ipc.new_stream(file, table.schema, options=ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(table)
    return file.getvalue()


def _decode_polars(data: bytes) -> pl.DataFrame:
    with ipc.open_stream(data) as stream:
        frame = pl.from_arrow(stream.read_all())
    if not isinstance(frame, pl.DataFrame):
        raise GatewayError(f"a frame came that is read as a {type(frame).__name__}")
    return frame


def _encode_polars_series(series: pl.Series) -> bytes:
    file = io.BytesIO()
    series.to_frame().write_parquet(file, compression="lz4", statistics=False)
    return file.getvalue()


_KINDS = (
    _Kind(pd.DataFrame, "pandas_dataframe_value", _encode_pandas, lambda data: pd.read_parquet(io.BytesIO(data))),
    _Kind(pl.DataFrame, "polars_dataframe_value", _encode_polars, _decode_polars),
    _Kind(
        pl.Series,
        "polars_series_value",
        _encode_polars_series,
        lambda data: pl.read_parquet(io.BytesIO(data)).to_series(),
    ),
    _Kind(str, "str_value", str, str),
    _Kind(bool, "bool_value", bool, bool),
    _Kind(int, "int_value", _encode_int, int),
    _Kind(np.integer, "int_value", _encode_int, int),
    _Kind(float, "float_value", float, float),
    _Kind(type(None), "none_value", lambda _: True, lambda _: None),
)
"""The first that fits counts, since bools are also integers."""
