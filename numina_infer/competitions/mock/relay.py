"""Kaggle's side of AIMO-2 and 3 as a process of its own: a relay that calls an inference server over gRPC.

    python -m numina_infer.competitions.mock.relay --problems test.csv --out run

stands for the gateway's container of a rerun: it waits for the server, poses one problem per call, and ends with
`submission.parquet` and `submission.csv`, or with a `result.json` that says why there is none.
On request it makes the faults of a bad network.

Exit codes: 0 done, 1 the run was aborted, 2 a value that can't be used, 130 interrupted, with the submission so far.
"""

import argparse
import json
import os
import random
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from numina_infer.competitions.api_versions import API_VERSIONS, STARTUP_LIMIT_S, ErrorType, get_version
from numina_infer.competitions.messages import require_packages
from numina_infer.competitions.mock.kaggle_evaluation import Examination, Failure
from numina_infer.competitions.mock.relay_client import Cancelled, RelayClient, TcpProxy
from numina_infer.core.config import require_choice
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
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run --version 0.3.0      AIMO-2's relay
  python -m numina_infer.competitions.mock.relay --problems test.csv --out run --nasty drop --nasty ask-twice

An inference server must listen, or begin to within 15 minutes.
exit codes: 0 done, 1 aborted (result.json says why), 2 a value that can't be used, 130 interrupted"""


class RelayFault(StrEnum):
    """What Kaggle's relay may do wrong to an inference server, by the name that `--nasty` takes."""

    ASK_TWICE = "ask-twice"
    """Ask again for a problem that has its reply; a different reply then ends the run."""
    DROP = "drop"
    """Break the connection before the reply arrives: gRPC asks again, maybe while the first call still runs."""
    DELAY = "delay"
    """Wait up to a second before a call."""
    EXTRA_COLUMNS = "extra-columns"
    """Send more than id and statement: the reference if there is one, and an unknown column."""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """How a relay behaves."""

    version: str = "0.9.0"
    """A key of `API_VERSIONS`."""
    ports: tuple[int, ...] = ()
    """The ports of this machine to look for the server on; if empty, the version's own."""
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


class Relay(Examination):
    """The competition, run once over gRPC; it hangs up at the end of `with`."""

    def __init__(self, problem_set: ProblemSet, output_dir: str | Path, config: RelayConfig | None = None) -> None:
        """Make a relay that hasn't called yet; `ConfigError` if a package is missing, or a value can't be used."""
        config = config or RelayConfig()
        require_packages()
        super().__init__(
            problem_set if config.shuffle_seed is None else problem_set.shuffled(config.shuffle_seed),
            version=config.version,
            output_dir=output_dir,
            deadline_s=config.deadline_s,
            extra_columns=_EXTRA_COLUMNS if RelayFault.EXTRA_COLUMNS in config.nasty else (),
        )
        self._faults = config.nasty
        self._chance = random.Random(config.nasty_seed)  # noqa: S311 - faults for a test, no secret
        ports = config.ports or self.version.ports
        self._proxies = [TcpProxy(port) for port in ports] if RelayFault.DROP in config.nasty else []
        ports = tuple(proxy.port for proxy in self._proxies) or ports
        self._client = RelayClient(ports, self.version, startup_limit_s=config.startup_limit_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        for proxy in self._proxies:
            proxy.close()

    def run(self) -> None:
        """Pose every problem, then write the submission.

        Raises:
            GatewayError: a call went wrong; `result.json` holds the same.
            Cancelled: by another thread.
        """
        self._examine(self._call)

    def cancel(self) -> None:
        """Make `run` raise `Cancelled`, from another thread; an interrupt may get lost in other packages."""
        self._client.cancel()

    def _call(self, columns: "Sequence[pl.Series]", deadline_s: float | None) -> object:
        from numina_infer.competitions.payloads import encode_reply

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the relay; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        config = RelayConfig(chosen.version, shuffle_seed=chosen.shuffle_seed, nasty=chosen.nasty)
        if chosen.config:
            config = RelayConfig(**json.loads(chosen.config))
        with Relay(read_problems(chosen.problems), chosen.out, config) as relay:
            try:
                if chosen.config:
                    threading.Thread(target=_cancel_at_eof, args=(relay,), daemon=True).start()
                relay.run()
            except (KeyboardInterrupt, Cancelled):
                relay.write_submission()
                return 130
    except (ConfigError, GatewayError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - it speaks to people
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def _cancel_at_eof(relay: Relay) -> None:
    while os.read(0, 1024):
        pass
    relay.cancel()


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
    add("--nasty", metavar="NAME", action="append", default=[], help=f"{', '.join(RelayFault)}; may be repeated")
    text = "from a process that starts this one: a whole RelayConfig instead; end as by Ctrl-C when stdin ends"
    add("--config", metavar="JSON", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
