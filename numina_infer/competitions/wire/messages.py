"""The types of messages, made at run time from a table here instead of a .proto file.

They live in a descriptor pool of their own, since Kaggle's package registers the same names in the default pool.
Names, numbers and types are those of kaggle_evaluation.proto, package `kaggle_evaluation_client`.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from numina_infer.core.errors import GatewayError

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

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
    "list_value": (6, "PayloadList"),
    "tuple_value": (7, "PayloadList"),
    "dict_value": (8, "PayloadMap"),
    "pandas_dataframe_value": (9, "bytes"),
    "polars_dataframe_value": (10, "bytes"),
    "pandas_series_value": (11, "bytes"),
    "polars_series_value": (12, "bytes"),
    "numpy_array_value": (13, "bytes"),
    "numpy_scalar_value": (14, "bytes"),
    "bytes_io_value": (15, "bytes"),
}
"""The kinds of value, of which a payload holds at most one: name → field number and type."""

REQUEST = "KaggleEvaluationRequest"
RESPONSE = "KaggleEvaluationResponse"


@cache
def message_class(name: str) -> Any:
    """The class of the message `name`: REQUEST, RESPONSE or `Payload`."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parse(name: str, data: bytes) -> Any:
    """Read `data` as a message of the class `name`.

    Raises:
        GatewayError: it isn't one.
    """
    from google.protobuf.message import DecodeError

    try:
        return message_class(name).FromString(data)
    except DecodeError as error:
        raise GatewayError(f"{len(data)} bytes came that are no {name}: {error}") from error


@cache
def _pool() -> Any:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool

    file = FileDescriptorProto(name="numina_infer/competitions/wire.proto", package=PACKAGE, syntax="proto3")
    payload = file.message_type.add(name="Payload")
    payload.oneof_decl.add(name="value")
    for name, (number, kind) in PAYLOAD_FIELDS.items():
        _add_field(payload, name, number, kind).oneof_index = 0
    payloads = _add_field(file.message_type.add(name="PayloadList"), "payloads", 1, "Payload")
    payloads.label = payloads.LABEL_REPEATED
    _add_map(file.message_type.add(name="PayloadMap"), "payload_map", 1)
    request = file.message_type.add(name=REQUEST)
    _add_field(request, "name", 1, "string")
    arguments = _add_field(request, "args", 2, "Payload")
    arguments.label = arguments.LABEL_REPEATED
    _add_map(request, "kwargs", 3)
    _add_field(file.message_type.add(name=RESPONSE), "payload", 1, "Payload")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(message: "DescriptorProto", name: str, number: int, kind: str) -> "FieldDescriptorProto":
    """Add a field of a scalar type, or of a message type, whose name has a capital letter."""
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_OPTIONAL
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = field.Type.Value(f"TYPE_{kind.upper()}")
    return field


def _add_map(message: "DescriptorProto", name: str, number: int) -> None:
    """Add a `map<string, Payload>`, which is a repeated field of a nested entry type."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "string")
    _add_field(entry, "value", 2, "Payload")
    entries = _add_field(message, name, number, f"{message.name}.{entry.name}")
    entries.label = entries.LABEL_REPEATED
