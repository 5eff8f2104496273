"""Kaggle's side of AIMO-2 and 3 as a process of its own: a relay that calls an inference server over gRPC.

    python -m numina_infer.competitions.mock.relay --problems test.csv --out run

stands for the gateway's container of a rerun: it waits for the server, poses one problem per call, and ends with
`submission.parquet` and `submission.csv`, or with a `result.json` that says why there is none.
On request it makes the faults of a bad network: `relay_faults.RelayFault`.

Exit codes: 0 done, 1 the run was aborted, 2 a value that can't be used, 130 interrupted, with the submission so far.
"""

import argparse
import os
import random
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from numina_infer.competitions.api_versions import API_VERSIONS, STARTUP_LIMIT_S, ErrorType, get_version
from numina_infer.competitions.mock.examination import Examination
from numina_infer.competitions.mock.relay_client import Cancelled, RelayClient
from numina_infer.competitions.mock.reply_rules import Failure
from numina_infer.competitions.mock.tcp_proxy import TcpProxy
from numina_infer.competitions.relay_faults import RelayFault
from numina_infer.competitions.wire.payloads import encode_reply, require_packages
from numina_infer.core.config import require, require_choice, require_whole
from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.core.terminal import HelpFormatter
from numina_infer.runs.problems import ProblemSet, read_problems

if TYPE_CHECKING:
    import polars as pl

_CHANCE = 0.5
"""Of each fault, at each problem."""
_LONGEST_DELAY_S = 1.0
_EXTRA_COLUMNS = ("answer", "source")

_EXAMPLES = """\
examples:
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run                      AIMO-3's relay
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run --version 0.3.0      AIMO-2's
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run --nasty drop --nasty ask-twice

An inference server must listen, or begin to within 15 minutes.
exit codes: 0 done, 1 aborted (result.json says why), 2 a value that can't be used, 130 interrupted"""

_FLAGS = {"ports": "--port", "deadline_s": "--deadline", "startup_limit_s": "--startup-limit"}
"""Options that aren't called like their field of `RelayConfig`."""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """How a relay behaves."""

    version: str = "0.9.0"
    """A key of `API_VERSIONS`."""
    host: str = "localhost"
    """The inference server's."""
    ports: tuple[int, ...] = ()
    """The ports to look for the server on; if empty, the version's own."""
    shuffle_seed: int | None = None
    """None keeps the file's order."""
    deadline_s: float | None = None
    """For each call but the first; None takes the version's own."""
    startup_limit_s: float = STARTUP_LIMIT_S
    nasty: tuple[RelayFault, ...] = ()
    """The faults that the relay makes on purpose."""
    nasty_seed: int = 0
    """Decides at which problems."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nasty", tuple(require_choice("nasty", name, RelayFault) for name in self.nasty))
        object.__setattr__(self, "ports", tuple(self.ports))
        get_version(self.version)

    @property
    def arguments(self) -> list[str]:
        """The same as options of the command line."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = [(_flag(name), value) for name, value in values.items() if value is not None]
        return [f"{flag}={one}" for flag, value in given for one in (value if isinstance(value, tuple) else (value,))]


def _flag(name: str) -> str:
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


class Relay(Examination):
    """The competition, run once over gRPC; it hangs up at the end of `with`."""

    def __init__(self, problem_set: ProblemSet, output_dir: str | Path, config: RelayConfig | None = None) -> None:
        """Make a relay that hasn't called yet.

        Raises:
            ConfigError: a package is missing, a value can't be used, or `output_dir` can't be written to.
        """
        config = config or RelayConfig()
        require_packages()
        super().__init__(
            problem_set,
            version=config.version,
            output_dir=output_dir,
            shuffle_seed=config.shuffle_seed,
            deadline_s=config.deadline_s,
            extra_columns=_EXTRA_COLUMNS if RelayFault.EXTRA_COLUMNS in config.nasty else (),
        )
        self._faults = config.nasty
        self._chance = random.Random(config.nasty_seed)  # noqa: S311 - faults for a test, no secret
        self._closing = ExitStack()
        host, ports = config.host, config.ports or self.version.ports
        _require_address(host, ports)
        self._proxies = [TcpProxy(host, port) for port in ports] if RelayFault.DROP in config.nasty else []
        for proxy in self._proxies:
            self._closing.callback(proxy.close)
        if self._proxies:
            host, ports = "localhost", tuple(proxy.port for proxy in self._proxies)
        self._client = RelayClient(host, ports, self.version, startup_limit_s=config.startup_limit_s)
        self._closing.callback(self._client.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def num_cuts(self) -> int:
        """Connections that were broken on purpose."""
        return sum(proxy.num_cuts for proxy in self._proxies)

    def run(self) -> None:
        """Pose every problem, then write the submission.

        Raises:
            GatewayError: a call went wrong; `result.json` holds the same.
            Cancelled: by another thread.
        """
        self._examine(self._call)

    def cancel(self) -> None:
        """Make `run` raise `Cancelled`, from another thread."""
        self._client.cancel()

    def _call(self, columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
        if self._draws(RelayFault.DELAY):
            self._client.pause(self._chance.uniform(0, _LONGEST_DELAY_S))
        if self._draws(RelayFault.DROP):
            for proxy in self._proxies:
                proxy.arm()
        reply = self._client.call(columns, deadline_s)
        if isinstance(reply, Failure) or not self._draws(RelayFault.ASK_TWICE):
            return reply
        again = self._client.call(columns, deadline_s)
        if isinstance(again, Failure) or encode_reply(again) == encode_reply(reply):
            return again
        return Failure(ErrorType.INVALID_SUBMISSION, f"asked twice, predict replied {reply} and then {again}")

    def _draws(self, fault: RelayFault) -> bool:
        return fault in self._faults and self._chance.random() < _CHANCE


def _require_address(host: str, ports: Sequence[int]) -> None:
    require(bool(host), "host is empty; name the host of the inference server, or leave it out")
    for port in ports:
        require_whole("port", port, 1)
        require(port <= 65535, f"port is {port}; it must be at most 65535")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the relay; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        with Relay(read_problems(chosen.problems), chosen.out, _config(chosen)) as relay:
            if chosen.until_eof:
                threading.Thread(target=_cancel_at_eof, args=(relay,), daemon=True).start()
            return _run(relay)
    except (ConfigError, GatewayError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - it speaks to people
        return 2 if isinstance(error, ConfigError) else 1


def _run(relay: Relay) -> int:
    try:
        relay.run()
    except (KeyboardInterrupt, Cancelled):
        relay.write_submission()
        return 130
    return 0


def _cancel_at_eof(relay: Relay) -> None:
    while os.read(0, 1024):
        pass
    relay.cancel()


def _config(chosen: argparse.Namespace) -> RelayConfig:
    return RelayConfig(**{field.name: getattr(chosen, field.name) for field in fields(RelayConfig)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m numina_infer.competitions.mock.relay",
        description="Stand for Kaggle's gateway in a rerun: call an inference server's predict for every problem.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--problems", metavar="FILE", type=Path, required=True, help="CSV, JSONL or Parquet")
    add("--out", metavar="DIR", type=Path, required=True, help="gets the submission and result.json")
    versions = ", ".join(API_VERSIONS)
    add("--version", default="0.9.0", help=f"of kaggle_evaluation: {versions} (default: %(default)s)")
    add("--shuffle-seed", metavar="N", type=int, help="ask in a random order (default: the file's)")
    text = "for a call, the first excepted (default: the version's)"
    add("--deadline", dest="deadline_s", metavar="S", type=float, help=text)
    text = "for the server to listen"
    add("--startup-limit", dest="startup_limit_s", metavar="S", type=float, default=STARTUP_LIMIT_S, help=text)
    add("--host", default="localhost", help="the server's (default: %(default)s)")
    text = "the server's (default: the version's)"
    add("--port", dest="ports", metavar="N", type=int, action="append", default=[], help=text)
    add("--nasty", metavar="NAME", action="append", default=[], help=f"{', '.join(RelayFault)}; may be repeated")
    add("--nasty-seed", metavar="N", type=int, default=0, help="when it is nasty (default: 0)")
    text = "end as by Ctrl-C when stdin ends: for a process that starts this one"
    add("--until-eof", action="store_true", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
