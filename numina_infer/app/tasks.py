"""The runs that have a folder and can be resumed: a rehearsal and a collection, each with all that defines it.

Their fields stand in `run.json`, and `run_folder.py` reads them back.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from numina_infer.app.choices import Choices
from numina_infer.app.options import Option
from numina_infer.competitions.known import Api, get_competition
from numina_infer.competitions.mock.relay import RelayFault
from numina_infer.core.config import require, require_choice, require_whole

_NEWEST_API = "0.9.0"
"""AIMO-3's kaggle_evaluation, which a rehearsal speaks where no competition is named."""

COLLECT = "collect"
"""The preset that a collection takes by default."""


@dataclass(frozen=True, slots=True)
class Task:
    """Which problems are solved, and how."""

    command: ClassVar[str]
    """The command that begins it and goes on with it."""

    problems: Annotated[str | None, Option("CSV, JSONL or Parquet (default: ten examples in the package)", "FILE")] = (
        None
    )
    choices: Choices = field(default_factory=Choices)

    def __post_init__(self) -> None:
        require(self.problems != "", "problems is empty; name a problems file, or leave it out for the examples")
        if self.problems is not None:
            object.__setattr__(self, "problems", str(Path(self.problems).absolute()))


@dataclass(frozen=True, slots=True)
class Rehearsal(Task):
    """Everything that defines a rehearsal."""

    command: ClassVar[str] = "rehearse"

    api: Annotated[
        Api, Option("2024's iterate and predict, or the inference server (default: aimo)", "|".join(Api))
    ] = Api.AIMO
    separate: Annotated[
        bool, Option("Kaggle's side is a process of its own that calls over gRPC, in a random order, as in a rerun")
    ] = False
    nasty: Annotated[
        tuple[RelayFault, ...],
        Option(f"for --separate: what that process does on purpose, {', '.join(RelayFault)}; may be repeated", "NAME"),
    ] = ()

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        object.__setattr__(self, "api", require_choice("api", self.api, Api))
        object.__setattr__(self, "nasty", tuple(require_choice("nasty", name, RelayFault) for name in self.nasty))
        require(
            not self.separate or self.api is Api.KAGGLE_EVALUATION,
            f"separate means api {Api.KAGGLE_EVALUATION}, and the api is {self.api}; leave one of the two out",
        )
        require(
            self.separate or not self.nasty,
            f"nasty is {', '.join(self.nasty)} for a relay in this process; only a separate one can be so",
        )

    @property
    def api_version(self) -> str:
        """The version of kaggle_evaluation: the competition's, else the newest that a competition came with."""
        name = self.choices.competition
        return _NEWEST_API if name is None else get_competition(name).api_version


@dataclass(frozen=True, slots=True)
class Collection(Task):
    """Everything that defines a collection."""

    command: ClassVar[str] = "collect"

    choices: Choices = field(default_factory=lambda: Choices(preset=COLLECT))
    concurrent_problems: Annotated[
        int,
        Option("problems in work at once; the start says how many would fill the engine (default: 4)", "K"),
    ] = 4

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        require_whole("concurrent_problems", self.concurrent_problems, 1)
        limit = self.choices.time_limit_s
        require(
            limit is None,
            f"time_limit_s is {limit} for a collection, which has no contest clock; leave it out, or give "
            "problem_time_s to limit each problem",
        )
