"""How the versions of Kaggle's package kaggle_evaluation differ for `predict` and its caller, as one table.

Found by running the package in the versions of AIMO-2 (0.3.0) and AIMO-3 (0.9.0), and by reading a later one (1.4.0).
The package has no licence, so nothing of it is copied here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import FunctionType, MethodType

from numina_infer.core.config import require

Predict = Callable[..., object]
"""`predict(id, statement)`: takes two series of length 1, returns a frame of one row."""

STARTUP_LIMIT_S = 15 * 60.0
"""From the relay's first try to reach the inference server until it gives up."""


class ErrorType(IntEnum):
    """Kaggle's names and numbers for the reasons why a run is aborted."""

    UNSPECIFIED = 0
    SERVER_NEVER_STARTED = 1
    SERVER_CONNECTION_FAILED = 2
    SERVER_RAISED_EXCEPTION = 3
    SERVER_MISSING_ENDPOINT = 4
    GATEWAY_RAISED_EXCEPTION = 5
    INVALID_SUBMISSION = 6
    GRPC_DEADLINE_EXCEEDED = 7


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One version of the package."""

    statement_column: str
    """The name of the series that holds the statement, in the competition that used this version."""
    deadline_s: float
    """For each call of `predict` but the first, which has none."""
    deadline_error: ErrorType
    """How a call that passes the deadline is reported."""
    deadline_details: str
    checks_ids: bool
    """Whether the reply's id must be the problem's; if not, the relay overwrites ids, and they may be missing."""
    listeners: tuple[type, ...]
    """The types that `predict` may have; it must have a name in any case."""
    ports: tuple[int, ...]
    """The server listens on the first free one of these."""
    retry_s: float
    """Seconds between the relay's tries to reach a server that isn't up yet."""

    def require_listener(self, predict: Predict) -> None:
        """Raise `ConfigError` if Kaggle's server would refuse to register `predict`."""
        name = getattr(predict, "__name__", "")
        require(
            bool(name) and name != "<lambda>",
            f"{predict!r} has no name to be called by; give a function named predict",
        )
        require(
            isinstance(predict, self.listeners),
            f"{predict!r} is no plain function; wrap it in a `def predict`",
        )


_NEW_PORTS = (50051, *range(60053, 60063))
_VERSION_090 = ApiVersion(
    statement_column="problem",
    deadline_s=9 * 3600.0,
    deadline_error=ErrorType.GRPC_DEADLINE_EXCEEDED,
    deadline_details="",
    checks_ids=False,
    listeners=(FunctionType,),
    ports=_NEW_PORTS,
    retry_s=1 / len(_NEW_PORTS),
)

API_VERSIONS: Mapping[str, ApiVersion] = {
    # AIMO-2
    "0.3.0": ApiVersion(
        statement_column="question",
        deadline_s=30 * 60.0,
        deadline_error=ErrorType.SERVER_CONNECTION_FAILED,
        deadline_details="StatusCode.DEADLINE_EXCEEDED",
        checks_ids=True,
        listeners=(object,),
        ports=(50051,),
        retry_s=1.0,
    ),
    # AIMO-3
    "0.9.0": _VERSION_090,
    # The newest that was seen, June 2026.
    "1.4.0": replace(_VERSION_090, listeners=(FunctionType, MethodType)),
}

RELAY_PORTS = frozenset(port for version in API_VERSIONS.values() for port in version.ports)
"""Ports that our other servers must leave free."""


def get_version(name: str) -> ApiVersion:
    """The version called `name`; `ConfigError` with the known names if there is none."""
    require(name in API_VERSIONS, f"no version is called {name!r}; choose one of {', '.join(API_VERSIONS)}")
    return API_VERSIONS[name]
