"""Where the versions of kaggle_evaluation differ, as far as `predict` or its caller can tell: one table.

Found by running the package in the versions of AIMO-2 (0.3.0) and AIMO-3 (0.9.0), and by reading a later one (1.4.0).
The package itself has no licence, so none of it is here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import FunctionType, MethodType

from numina_infer.core.config import require

Predict = Callable[..., object]
"""`predict(id, statement)`: each a series of length 1, the reply a frame of one row."""

STARTUP_LIMIT_S = 15 * 60.0
"""For the inference server to listen, from the relay's first look for it."""
RERUN_HOST = "inference_server"
"""Where the relay looks for it in a rerun; it is `localhost` elsewhere."""


class ErrorType(IntEnum):
    """Why a run was aborted, with Kaggle's names and numbers."""

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
    """One version."""

    statement_column: str
    """The name of the series that holds the statement, in the competition that came with it."""
    deadline_s: float
    """For one call of `predict`, the first excepted."""
    deadline_error: ErrorType
    """What a call beyond the deadline is called."""
    deadline_details: str
    checks_ids: bool
    """False: the reply's ids are overwritten by the relay's own, and may be missing."""
    takes_any_callable: bool
    """False: `predict` must be a plain function, no partial."""
    takes_methods: bool
    """True: a bound method will do as well."""
    ports: tuple[int, ...]
    """Where the server listens: the first that is free."""
    retry_s: float
    """Between two looks of the relay for a server that isn't up yet."""

    def require_listener(self, predict: Predict) -> None:
        """Raise `ConfigError` where the server would refuse `predict`: it knows its listeners by their name."""
        name = getattr(predict, "__name__", "")
        require(
            bool(name) and name != "<lambda>",
            f"{predict!r} has no name to be called by; give a function named predict",
        )
        require(
            self.takes_any_callable
            or isinstance(predict, FunctionType)
            or (self.takes_methods and isinstance(predict, MethodType)),
            f"{predict!r} is no plain function; wrap it in a `def predict`",
        )


_NEW_PORTS = (50051, *range(60053, 60063))
_WHOLE_RUN_S = 9 * 3600.0

API_VERSIONS: Mapping[str, ApiVersion] = {
    # AIMO-2
    "0.3.0": ApiVersion(
        statement_column="question",
        deadline_s=30 * 60.0,
        deadline_error=ErrorType.SERVER_CONNECTION_FAILED,
        deadline_details="StatusCode.DEADLINE_EXCEEDED",
        checks_ids=True,
        takes_any_callable=True,
        takes_methods=True,
        ports=(50051,),
        retry_s=1.0,
    ),
    # AIMO-3
    "0.9.0": ApiVersion(
        statement_column="problem",
        deadline_s=_WHOLE_RUN_S,
        deadline_error=ErrorType.GRPC_DEADLINE_EXCEEDED,
        deadline_details="",
        checks_ids=False,
        takes_any_callable=False,
        takes_methods=False,
        ports=_NEW_PORTS,
        retry_s=1 / len(_NEW_PORTS),
    ),
    # The newest that was seen, June 2026.
    "1.4.0": ApiVersion(
        statement_column="problem",
        deadline_s=_WHOLE_RUN_S,
        deadline_error=ErrorType.GRPC_DEADLINE_EXCEEDED,
        deadline_details="",
        checks_ids=False,
        takes_any_callable=False,
        takes_methods=True,
        ports=_NEW_PORTS,
        retry_s=1 / len(_NEW_PORTS),
    ),
}

RELAY_PORTS = frozenset(port for version in API_VERSIONS.values() for port in version.ports)
"""Ports that nothing else of ours may take."""


def get_version(name: str) -> ApiVersion:
    """The version called `name`; `ConfigError` naming the known ones otherwise."""
    require(name in API_VERSIONS, f"no version is called {name!r}; choose one of {', '.join(API_VERSIONS)}")
    return API_VERSIONS[name]
