"""Convert values of Python to payloads and back: text, numbers, lists and dicts of them, frames, series, arrays.

    decode_request(encode_request("predict", "a", 52)) == Request("predict", ("a", 52))

Newer versions also send enums, dataclasses and pydantic models; these are refused, since they name code to import.
"""

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from numina_infer.competitions.wire.messages import REQUEST, RESPONSE, message_class, parse
from numina_infer.core.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from numina_infer.competitions.wire.tabular import Kind

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
    from numina_infer.competitions.wire.tabular import FAULTS

    kind = next((kind for kind in _kinds() if isinstance(value, kind.type)), None)
    if kind is None:
        raise GatewayError(
            f"a {type(value).__name__} can't be sent; send text, numbers, a frame, a series or an array"
        )
    try:
        return message_class("Payload")(**{kind.field: kind.encode(value)})
    except GatewayError:
        raise
    except FAULTS as error:
        raise GatewayError(f"the {type(value).__name__} {value!r:.200} can't be sent: {error}") from error


def from_payload(payload: Any) -> object:
    """The value in a `Payload` message.

    Raises:
        GatewayError: its kind is unknown, or the value can't be read.
    """
    from numina_infer.competitions.wire.tabular import FAULTS

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
    except FAULTS as error:
        raise GatewayError(f"a {kind.field} came that can't be read: {error}") from error


@cache
def _kinds() -> "tuple[Kind, ...]":
    """The first that fits counts, since numpy's floats are also floats, and bools are also integers."""
    from numina_infer.competitions.wire.tabular import KINDS, Kind

    return (
        *KINDS,
        Kind(str, "str_value", str, str),
        Kind(bool, "bool_value", bool, bool),
        Kind(int, "int_value", _encode_int, int),
        Kind(float, "float_value", float, float),
        Kind(type(None), "none_value", lambda _: True, lambda _: None),
        Kind(list, "list_value", _encode_list, lambda message: list(map(from_payload, message.payloads))),
        Kind(tuple, "tuple_value", _encode_list, lambda message: tuple(map(from_payload, message.payloads))),
        Kind(dict, "dict_value", _encode_dict, _decode_dict),
        Kind(io.BytesIO, "bytes_io_value", io.BytesIO.getvalue, io.BytesIO),
    )


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
