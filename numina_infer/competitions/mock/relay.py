"""Kaggle's side of AIMO-2 and 3 as a process of its own: the relay that calls an inference server over gRPC.

    python -m numina_infer.competitions.mock.relay --problems test.csv --out run

stands for the gateway's container of a rerun, which waits for the server's, poses one problem a call, and ends with
`submission.parquet` and `submission.csv`, or with `result.json` that says why there is none.
It can be as nasty as a network on purpose: `nasty.Nasty`.

Exit codes: 0 done, 1 the run was aborted, 2 a value that can't be used, 130 interrupted, with the submission so far.
"""

import argparse
import os
import random
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from numina_infer.competitions.api_versions import API_VERSIONS, STARTUP_LIMIT_S, ErrorType, get_version
from numina_infer.competitions.mock.examination import Examination
from numina_infer.competitions.mock.network_line import NetworkLine
from numina_infer.competitions.mock.relay_client import Cancelled, RelayAddress, RelayClient
from numina_infer.competitions.mock.replied_integer import Failure
from numina_infer.competitions.mock.submission import Submission
from numina_infer.competitions.relay_faults import Nasty
from numina_infer.competitions.wire.payloads import encode_reply, require_packages
from numina_infer.core.config import require_choice
from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.core.help_formatter import HelpFormatter
from numina_infer.runs.problems import ProblemSet, read_problems

if TYPE_CHECKING:
    import polars as pl

_CHANCE = 0.5
"""Of each nasty thing, at each problem."""
_LONGEST_DELAY_S = 1.0
_EXTRA_COLUMNS = ("answer", "source")

_EXAMPLES = """\
examples:
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run                      AIMO-3's relay
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run --version 0.3.0      AIMO-2's
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run --nasty drop --nasty ask-twice

An inference server must listen, or begin to within 15 minutes.
exit codes: 0 done, 1 aborted (result.json says why), 2 a value that can't be used, 130 interrupted"""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """How a relay behaves."""

    version: str = "0.9.0"
    """A key of `API_VERSIONS`."""
    host: str = "localhost"
    ports: tuple[int, ...] = ()
    """Where the server is looked for; none takes the version's own."""
    shuffle_seed: int | None = None
    """None keeps the file's order."""
    deadline_s: float | None = None
    """For a call, the first excepted; None takes the version's own."""
    startup_limit_s: float = STARTUP_LIMIT_S
    nasty: tuple[Nasty, ...] = ()
    nasty_seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "nasty", tuple(require_choice("nasty", name, Nasty) for name in self.nasty))
        get_version(self.version)

    @property
    def address(self) -> RelayAddress:
        """Where the server is looked for."""
        return RelayAddress(self.host, self.ports or get_version(self.version).ports)

    @property
    def arguments(self) -> list[str]:
        """The same for the command line."""
        given = {
            "--version": self.version,
            "--host": self.host,
            "--shuffle-seed": self.shuffle_seed,
            "--deadline": self.deadline_s,
            "--startup-limit": self.startup_limit_s,
            "--nasty-seed": self.nasty_seed,
        }
        single = [f"{name}={value}" for name, value in given.items() if value is not None]
        return single + [f"--port={port}" for port in self.ports] + [f"--nasty={name}" for name in self.nasty]


class Relay:
    """The competition, run once over gRPC; `with` hangs up at the end."""

    def __init__(self, problem_set: ProblemSet, output_dir: str | Path, config: RelayConfig | None = None) -> None:
        """Make a relay; nothing is called yet.

        Raises:
            ConfigError: a package is missing, a value can't be used, or `output_dir` can't be written to.
        """
        config = config or RelayConfig()
        require_packages()
        self._nasty = config.nasty
        self._chance = random.Random(config.nasty_seed)  # noqa: S311 - mischief, no secret
        version = get_version(config.version)
        self._examination = Examination(
            problem_set,
            version,
            output_dir=output_dir,
            shuffle_seed=config.shuffle_seed,
            deadline_s=config.deadline_s,
            extra_columns=_EXTRA_COLUMNS if Nasty.EXTRA_COLUMNS in config.nasty else (),
        )
        self._closing = ExitStack()
        address = config.address
        self._lines = [NetworkLine(address.host, port) for port in address.ports] if Nasty.DROP in config.nasty else []
        for line in self._lines:
            self._closing.callback(line.close)
        if self._lines:
            address = RelayAddress("localhost", tuple(line.port for line in self._lines))
        self._client = RelayClient(address, version, startup_limit_s=config.startup_limit_s)
        self._closing.callback(self._client.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def submission(self) -> Submission:
        """The answers so far."""
        return self._examination.submission

    @property
    def num_cuts(self) -> int:
        """Connections that were cut on purpose."""
        return sum(line.num_cuts for line in self._lines)

    def write_submission(self) -> None:
        """Write the answers so far.

        Raises:
            ConfigError: the output folder can't be written to.
        """
        self._examination.write_submission()

    def run(self) -> None:
        """Ask for every problem, then write the submission.

        Raises:
            GatewayError: a call went wrong; `result.json` holds the same.
            Cancelled: by another thread.
        """
        self._examination.run(self._call)

    def cancel(self) -> None:
        """Make `run` raise `Cancelled`, from another thread."""
        self._client.cancel()

    def _call(self, columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
        if self._has_chance(Nasty.DELAY):
            self._client.pause(self._chance.uniform(0, _LONGEST_DELAY_S))
        if self._has_chance(Nasty.DROP):
            for line in self._lines:
                line.arm()
        reply = self._client.call(columns, deadline_s)
        if isinstance(reply, Failure) or not self._has_chance(Nasty.ASK_TWICE):
            return reply
        again = self._client.call(columns, deadline_s)
        if isinstance(again, Failure) or encode_reply(again) == encode_reply(reply):
            return again
        return Failure(ErrorType.INVALID_SUBMISSION, f"asked twice, predict replied {reply} and then {again}")

    def _has_chance(self, nasty: Nasty) -> bool:
        return nasty in self._nasty and self._chance.random() < _CHANCE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the relay; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        with Relay(read_problems(chosen.problems), chosen.out, _config(chosen)) as relay:
            if chosen.until_eof:
                threading.Thread(target=_cancel_at_eof, args=(relay,), daemon=True).start()
            return _run(relay)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - it speaks to people
        return 2
    except GatewayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 1


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
    return RelayConfig(
        version=chosen.version,
        host=chosen.host,
        ports=tuple(chosen.port),
        shuffle_seed=chosen.shuffle_seed,
        deadline_s=chosen.deadline,
        startup_limit_s=chosen.startup_limit,
        nasty=tuple(chosen.nasty),
        nasty_seed=chosen.nasty_seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m numina_infer.competitions.mock.relay",
        description="Stand for Kaggle's gateway in a rerun: call an inference server's predict for every problem.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--problems", metavar="FILE", type=Path, required=True, help="CSV, JSONL or Parquet")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="gets the submission and result.json")
    parser.add_argument(
        "--version", default="0.9.0", help=f"of kaggle_evaluation: {', '.join(API_VERSIONS)} (default: %(default)s)"
    )
    parser.add_argument("--shuffle-seed", metavar="N", type=int, help="ask in a random order (default: the file's)")
    parser.add_argument(
        "--deadline", metavar="S", type=float, help="for a call, the first excepted (default: the version's)"
    )
    parser.add_argument(
        "--startup-limit", metavar="S", type=float, default=STARTUP_LIMIT_S, help="for the server to listen"
    )
    parser.add_argument("--host", default="localhost", help="the server's (default: %(default)s)")
    parser.add_argument(
        "--port", metavar="N", type=int, action="append", default=[], help="the server's (default: the version's)"
    )
    parser.add_argument(
        "--nasty", metavar="NAME", action="append", default=[], help=f"{', '.join(Nasty)}; may be repeated"
    )
    parser.add_argument("--nasty-seed", metavar="N", type=int, default=0, help="when it is nasty (default: 0)")
    parser.add_argument(
        "--until-eof", action="store_true", help="end as by Ctrl-C when stdin ends: for a process that starts this one"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
