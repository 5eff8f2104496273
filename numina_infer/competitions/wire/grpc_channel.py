"""The settings of gRPC at both ends: retries, heartbeats, messages of any size.

The numbers are those of kaggle_evaluation in all versions seen.
"""

import json
from collections.abc import Sequence

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

OPTIONS: Sequence[tuple[str, int | str]] = (
    ("grpc.max_send_message_length", _ANY_SIZE),
    ("grpc.max_receive_message_length", _ANY_SIZE),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _RETRIES}]})),
)


def no_listener(name: str) -> str:
    """A server's error if it lacks the function `name`; the relay recognises it by these words."""
    return f"No listener for {name} was registered"
