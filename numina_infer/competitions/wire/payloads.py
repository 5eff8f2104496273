"""Convert values of Python to payloads and back: text, numbers, lists and dicts of them, frames, series, arrays.

    decode_request(encode_request("predict", "a", 52)) == Request("predict", ("a", 52))

Frames and series of pandas travel as Parquet, frames of polars as an Arrow stream, its series as Parquet, arrays and
scalars of numpy as .npy: all of these hold data alone.
Newer versions also send enums, dataclasses and pydantic models; these are refused, since they name code to import.
"""

import importlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from numina_infer.competitions.wire.messages import REQUEST, RESPONSE, message_class, parse
from numina_infer.core.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl

_MAX_INT = 2**63


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the function `name`."""

    name: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)


def require_packages() -> None:
    """Raise `ConfigError` unless the packages that messages need are installed."""
    for name in ("google.protobuf", "grpc", "polars"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f'kaggle_evaluation speaks {name}, which is not installed; pip install "numina-infer[kaggle]"'
            ) from error


def encode_request(name: str, *args: object, **kwargs: object) -> bytes:
    """The message that calls the function `name`.

    Raises:
        GatewayError: an argument can't be sent; see `to_payload`.
    """
    encoded = {key: to_payload(value) for key, value in kwargs.items()}
    request = message_class(REQUEST)(name=name, args=map(to_payload, args), kwargs=encoded)
    return _bytes_of(request)


def decode_request(data: bytes) -> Request:
    """The call in a message.

    Raises:
        GatewayError: it is no call, or holds a value that can't be read.
    """
    request = parse(REQUEST, data)
    kwargs = {key: from_payload(value) for key, value in request.kwargs.items()}
    return Request(request.name, tuple(map(from_payload, request.args)), kwargs)


def encode_reply(value: object) -> bytes:
    """The message that replies with `value`.

    Raises:
        GatewayError: `value` can't be sent; see `to_payload`.
    """
    return _bytes_of(message_class(RESPONSE)(payload=to_payload(value)))


def decode_reply(data: bytes) -> object:
    """The value in a reply.

    Raises:
        GatewayError: it is no reply, or its value can't be read.
    """
    return from_payload(parse(RESPONSE, data).payload)


def to_payload(value: object) -> Any:
    """`value` as a `Payload` message.

    Raises:
        GatewayError: its type isn't sent, or the value can't be written: an integer beyond 64 bits, an array of Python
            objects, a column of a type that Arrow lacks.
    """
    kind = next((kind for kind in _kinds() if isinstance(value, kind.type)), None)
    if kind is None:
        raise GatewayError(
            f"a {type(value).__name__} can't be sent; send text, numbers, a frame, a series or an array"
        )
    try:
        return message_class("Payload")(**{kind.field: kind.encode(value)})
    except GatewayError:
        raise
    except _faults() as error:
        raise GatewayError(f"the {type(value).__name__} {value!r:.200} can't be sent: {error}") from error


def from_payload(payload: Any) -> object:
    """The value in a `Payload` message.

    Raises:
        GatewayError: its kind is unknown, or the value can't be read.
    """
    name = payload.WhichOneof("value")
    kind = next((kind for kind in _kinds() if kind.field == name), None)
    if kind is None:
        raise GatewayError(
            "a payload came of no kind that is known here; newer versions send enums, dataclasses and models, which "
            "are refused"
        )
    try:
        return kind.decode(getattr(payload, kind.field))
    except GatewayError:
        raise
    except _faults() as error:
        raise GatewayError(f"a {kind.field} came that can't be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of value: its type, its field, and how it is written and read."""

    type: type
    field: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], object]


@cache
def _kinds() -> tuple[_Kind, ...]:
    """The first that fits counts, since numpy's floats are also floats, and bools are also integers."""
    import numpy as np
    import pandas as pd
    import polars as pl

    return (
        _Kind(np.generic, "numpy_scalar_value", _encode_scalar, _decode_scalar),
        _Kind(str, "str_value", str, str),
        _Kind(bool, "bool_value", bool, bool),
        _Kind(int, "int_value", _encode_int, int),
        _Kind(float, "float_value", float, float),
        _Kind(type(None), "none_value", lambda _: True, lambda _: None),
        _Kind(list, "list_value", _encode_list, lambda message: list(map(from_payload, message.payloads))),
        _Kind(tuple, "tuple_value", _encode_list, lambda message: tuple(map(from_payload, message.payloads))),
        _Kind(dict, "dict_value", _encode_dict, _decode_dict),
        _Kind(pd.DataFrame, "pandas_dataframe_value", _encode_pandas, _decode_pandas),
        _Kind(pl.DataFrame, "polars_dataframe_value", _encode_polars, _decode_polars),
        _Kind(pd.Series, "pandas_series_value", _encode_series, _decode_series),
        _Kind(pl.Series, "polars_series_value", _encode_polars_series, _decode_polars_series),
        _Kind(np.ndarray, "numpy_array_value", _encode_array, _decode_array),
        _Kind(io.BytesIO, "bytes_io_value", io.BytesIO.getvalue, io.BytesIO),
    )


@cache
def _faults() -> tuple[type[BaseException], ...]:
    """The errors of five libraries that can't write or read a value; a panic of polars is no `Exception`."""
    from polars.exceptions import PanicException

    return (Exception, PanicException)


def _bytes_of(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _encode_int(value: int) -> int:
    if not -_MAX_INT <= value < _MAX_INT:
        raise GatewayError(f"the integer {value!r:.60} is beyond 64 bits and can't be sent")
    return int(value)


def _encode_list(values: list[object] | tuple[object, ...]) -> Any:
    return message_class("PayloadList")(payloads=map(to_payload, values))


def _encode_dict(values: dict[object, object]) -> Any:
    for key in values:
        if not isinstance(key, str):
            raise GatewayError(f"a dict with the key {key!r:.60} can't be sent; its keys must be text")
    return message_class("PayloadMap")(payload_map={str(key): to_payload(value) for key, value in values.items()})


def _decode_dict(message: Any) -> dict[str, object]:
    return {key: from_payload(value) for key, value in message.payload_map.items()}


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _encode_pandas(frame: "pd.DataFrame") -> bytes:
    return _written(lambda file: frame.to_parquet(file, index=False, compression="lz4"))


def _decode_pandas(data: bytes) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_parquet(io.BytesIO(data))


def _encode_series(series: "pd.Series[Any]") -> bytes:
    return _encode_pandas(series.to_frame())


def _decode_series(data: bytes) -> "pd.Series[Any]":
    return _decode_pandas(data).iloc[:, 0]


def _encode_polars(frame: "pl.DataFrame") -> bytes:
    import polars as pl
    from pyarrow import ipc

    refused = {kind.base_type() for kind in frame.dtypes} & {pl.Enum, pl.Object, pl.Unknown}
    if refused:
        raise GatewayError(f"columns of {', '.join(sorted(map(str, refused)))} can't be sent")
    table = frame.to_arrow()
    file = io.BytesIO()
    with ipc.new_stream(file, table.schema, options=ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(table)
    return file.getvalue()


def _decode_polars(data: bytes) -> "pl.DataFrame":
    import polars as pl
    from pyarrow import ipc

    with ipc.open_stream(data) as stream:
        frame = pl.from_arrow(stream.read_all())
    if not isinstance(frame, pl.DataFrame):
        raise GatewayError(f"a frame came that is read as a {type(frame).__name__}")
    return frame


def _encode_polars_series(series: "pl.Series") -> bytes:
    return _written(lambda file: series.to_frame().write_parquet(file, compression="lz4", statistics=False))


def _decode_polars_series(data: bytes) -> "pl.Series":
    import polars as pl

    return pl.read_parquet(io.BytesIO(data)).to_series()


def _encode_array(array: "np.ndarray[Any, Any] | np.generic") -> bytes:
    import numpy as np

    return _written(lambda file: np.save(file, array, allow_pickle=False))


def _decode_array(data: bytes) -> "np.ndarray[Any, Any]":
    import numpy as np

    # `np.load` would take an archive of arrays too, and give back an open file.
    array: np.ndarray[Any, Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def _encode_scalar(scalar: "np.generic") -> bytes:
    import numpy as np

    if not isinstance(scalar, np.number | np.bool_):
        raise GatewayError(f"a {type(scalar).__name__} of numpy can't be sent; send a number")
    return _encode_array(scalar)


def _decode_scalar(data: bytes) -> "np.generic":
    import numpy as np

    array = _decode_array(data)
    scalar = array[()]
    if not isinstance(scalar, np.number | np.bool_):
        raise GatewayError(f"a scalar came that is an array of shape {array.shape} and type {array.dtype}")
    return scalar
