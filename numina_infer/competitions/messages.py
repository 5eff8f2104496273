"""The gRPC messages between Kaggle's relay and an inference server, and the settings of both ends' channels.

This is our own implementation of what `kaggle_evaluation` (0.3.0 to 1.4.0) documents in its .proto file; it holds
nothing of that package. The types are made at run time from a table, in a descriptor pool of their own, since Kaggle's
package registers the same names in the default pool and both can be loaded in one process.
Of its kinds of value this has those that the competitions send: text, numbers, frames and series (`payloads.py`).
"""

import importlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from numina_infer.core.errors import ConfigError, GatewayError

PACKAGE = "kaggle_evaluation_client"
SERVICE = f"{PACKAGE}.KaggleEvaluationService"
SEND = "Send"
"""The service's one method, unary."""

PAYLOAD_FIELDS = {
    "str_value": (1, "string"),
    "bool_value": (2, "bool"),
    "int_value": (3, "sint64"),
    "float_value": (4, "float"),  # of 32 bits
    "none_value": (5, "bool"),
    "pandas_dataframe_value": (9, "bytes"),
    "polars_dataframe_value": (10, "bytes"),
    "polars_series_value": (12, "bytes"),
}
"""The kinds of value, of which a payload holds at most one: name → field number and type, as Kaggle numbers them."""

REQUEST = "KaggleEvaluationRequest"
RESPONSE = "KaggleEvaluationResponse"

CALLING = "Exception calling application: "
"""gRPC for Python puts this before the message of an exception that a server's function raised."""

_RETRIES = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 1,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""If the server can't be reached, or a connection breaks, the call is made again: it may arrive twice."""

_ANY_SIZE = -1

CHANNEL_OPTIONS: Sequence[tuple[str, int | str]] = (
    ("grpc.max_send_message_length", _ANY_SIZE),
    ("grpc.max_receive_message_length", _ANY_SIZE),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _RETRIES}]})),
)
"""Retries, heartbeats, messages of any size; the numbers are those of kaggle_evaluation in all versions seen."""


def no_listener(name: str) -> str:
    """A server's error if it lacks the function `name`; the relay recognises it by these words."""
    return f"No listener for {name} was registered"


def require_packages(*names: str) -> None:
    """Raise `ConfigError` unless the packages `names` are installed, by default all that messages need."""
    for name in names or ("google.protobuf", "grpc", "polars"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f'kaggle_evaluation speaks {name}, which is not installed; pip install "numina-infer[kaggle]"'
            ) from error


@cache
def message_class(name: str) -> Any:
    """The class of the message `name`: REQUEST, RESPONSE or `Payload`."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parse(name: str, data: bytes) -> Any:
    """Read `data` as a message of the class `name`; `GatewayError` if it isn't one."""
    from google.protobuf.message import DecodeError

    try:
        return message_class(name).FromString(data)
    except DecodeError as error:
        raise GatewayError(f"{len(data)} bytes came that are no {name}: {error}") from error


@cache
def _pool() -> Any:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool

    file = FileDescriptorProto(name="numina_infer/competitions/wire.proto", package=PACKAGE, syntax="proto3")
    payload = file.message_type.add(name="Payload")
    payload.oneof_decl.add(name="value")
    for name, (number, kind) in PAYLOAD_FIELDS.items():
        plain = Field.Type.Value(f"TYPE_{kind.upper()}")
        payload.field.add(name=name, number=number, type=plain, label=Field.LABEL_OPTIONAL, oneof_index=0)
    kind = f".{PACKAGE}.Payload"
    request, response = (file.message_type.add(name=name) for name in (REQUEST, RESPONSE))
    request.field.add(name="name", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    request.field.add(name="args", number=2, type=Field.TYPE_MESSAGE, type_name=kind, label=Field.LABEL_REPEATED)
    response.field.add(name="payload", number=1, type=Field.TYPE_MESSAGE, type_name=kind, label=Field.LABEL_OPTIONAL)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool
