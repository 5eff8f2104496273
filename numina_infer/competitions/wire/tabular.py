"""How frames, series and arrays are written to bytes and read again; imported only when a value is sent.

Frames and series of pandas travel as Parquet, frames of polars as an Arrow stream, its series as Parquet, arrays and
scalars of numpy as .npy: all of these hold data alone.
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

from numina_infer.core.errors import GatewayError

FAULTS = (Exception, PanicException)
"""The errors of libraries that can't write or read a value; a panic of polars is no `Exception`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: its type, its field, and how it is written and read."""

    type: type
    field: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], object]


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _encode_pandas(frame: pd.DataFrame) -> bytes:
    return _written(lambda file: frame.to_parquet(file, index=False, compression="lz4"))


def _decode_pandas(data: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(data))


def _encode_pandas_series(series: "pd.Series[Any]") -> bytes:
    return _encode_pandas(series.to_frame())


def _decode_pandas_series(data: bytes) -> "pd.Series[Any]":
    return _decode_pandas(data).iloc[:, 0]


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
    return _written(lambda file: series.to_frame().write_parquet(file, compression="lz4", statistics=False))


def _decode_polars_series(data: bytes) -> pl.Series:
    return pl.read_parquet(io.BytesIO(data)).to_series()


def _encode_array(array: "np.ndarray[Any, Any] | np.generic") -> bytes:
    return _written(lambda file: np.save(file, array, allow_pickle=False))


def _decode_array(data: bytes) -> "np.ndarray[Any, Any]":
    # `np.load` would take an archive of arrays too, and give back an open file.
    array: np.ndarray[Any, Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def _encode_scalar(scalar: np.generic) -> bytes:
    if not isinstance(scalar, np.number | np.bool_):
        raise GatewayError(f"a {type(scalar).__name__} of numpy can't be sent; send a number")
    return _encode_array(scalar)


def _decode_scalar(data: bytes) -> np.generic:
    array = _decode_array(data)
    scalar = array[()]
    if not isinstance(scalar, np.number | np.bool_):
        raise GatewayError(f"a scalar came that is an array of shape {array.shape} and type {array.dtype}")
    return scalar


KINDS = (
    Kind(np.generic, "numpy_scalar_value", _encode_scalar, _decode_scalar),
    Kind(np.ndarray, "numpy_array_value", _encode_array, _decode_array),
    Kind(pd.DataFrame, "pandas_dataframe_value", _encode_pandas, _decode_pandas),
    Kind(pd.Series, "pandas_series_value", _encode_pandas_series, _decode_pandas_series),
    Kind(pl.DataFrame, "polars_dataframe_value", _encode_polars, _decode_polars),
    Kind(pl.Series, "polars_series_value", _encode_polars_series, _decode_polars_series),
)
