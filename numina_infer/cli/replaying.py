"""The command that decides a recorded run again: `replay`."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numina_infer.cli.parser import Commands, add_command, add_json, make_console, showing_progress
from numina_infer.cli.runs import read_vote_weight
from numina_infer.core.config import StopRule
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import PRESETS
from numina_infer.core.records import AnswerRange

if TYPE_CHECKING:
    from numina_infer.lab.replay.recording import Recording
    from numina_infer.lab.replay.variant import Change

_EXAMPLES = """\
examples:
  numina-infer replay runs/20261123-093000                     its own policy: every verdict must be the same
  numina-infer replay runs/20261123-093000 --epsilon 0.01      what the predictive rule would have made of it
  numina-infer replay RUN --epsilon 0,0.01,0.05 --num-samples 16,32,48 --references test.csv
                                                               a row for each combination
  numina-infer replay RUN --policy t4x2 --time-limit 7200      another preset's policy, with a time bank of two hours
  numina-infer replay RUN --vote-weight suspicious=0.6

Nothing is generated and no program runs: recorded endings go before the same referee that decides live.
«not recorded» means that the policy would have wanted more than the log has. A log of the preset collect has every
sample to its end, so any policy with as many samples or fewer can be replayed on it.
Where a policy stops before the run did, attempts in flight have nothing to hand over: texts up to that moment aren't
recorded. Endings keep their recorded times, so a policy with fewer samples isn't credited with a faster engine.
Without --references the run's own problems file is taken, if it is still there.

Exit code 1 where a run's own policy didn't give its own verdicts: the log was changed, or another version decides
otherwise."""

Value = TypeVar("Value")


def add_replay(commands: Commands) -> None:
    """Declare `replay`."""
    parser = add_command(
        commands,
        "replay",
        _replay,
        help="decide a recorded run again, by its own policy or another, without a GPU",
        description="Put the recorded events of a run before the referee again: the same policy gives the same "
        "verdicts, another gives what it would have given.",
        epilog=_EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    other = parser.add_argument_group("another policy; lists with commas give every combination")
    other.add_argument("--policy", metavar="|".join(PRESETS), help="a preset's policy instead of the run's own")
    other.add_argument("--num-samples", metavar="N[,N…]", help="horizons, at most what was recorded to be of use")
    other.add_argument("--epsilon", metavar="P[,P…]", help="0 is the exact rule")
    other.add_argument("--stop-rule", metavar="|".join(StopRule), help="never: every recorded sample votes")
    other.add_argument("--answer-range", metavar="|".join(AnswerRange), help="which integers count, a list too")
    other.add_argument(
        "--vote-weight", metavar="NAME=SHARE", action="append", dest="vote_weights", help="may be repeated"
    )
    other.add_argument("--time-limit", metavar="SECONDS", type=float, help="share out so much time among the problems")
    parser.add_argument("--references", metavar="FILE", type=Path, help="a problems file with answers to score by")
    add_json(parser, "the rows as JSON")


def _replay(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.replay.recording import read_recording

    given = vars(chosen)
    changes = _changes(given)
    recording = read_recording(chosen.run)
    references = _references(recording, given.get("references"))
    if len(changes) == 1:
        return _show_one(recording, changes[0], references, as_json="json" in given)
    return _show_sweep(recording, changes, references, as_json="json" in given)


def _show_one(recording: "Recording", change: "Change", references: Mapping[str, str], *, as_json: bool) -> int:
    from numina_infer.lab.replay.replay import replay_run
    from numina_infer.lab.replay.replay_table import ReplayRow, problem_table, sweep_table

    replayed = replay_run(recording, change)
    row = ReplayRow.of(change, replayed, references)
    solved = [one for one in replayed.problems if one.recorded.solution is not None]
    num_same = sum(one.is_as_recorded for one in solved)
    if as_json:
        verdicts = [
            {"problem_id": one.recorded.problem.id, "verdict": one.solution and asdict(one.solution)}
            for one in replayed.problems
        ]
        print(json.dumps({**asdict(row), "num_same": num_same, "problems": verdicts}))
    else:
        console = make_console(sys.stdout)
        console.print(problem_table(replayed, references))
        console.print(sweep_table([row]))
        console.print(f"{num_same} of {len(solved)} verdicts with the votes and the stop that the run had")
    return 1 if change.is_nothing and num_same < len(solved) else 0


def _show_sweep(
    recording: "Recording", changes: Sequence["Change"], references: Mapping[str, str], *, as_json: bool
) -> int:
    from numina_infer.lab.replay.replay import replay_all
    from numina_infer.lab.replay.replay_table import ReplayRow, sweep_table

    rows: list[ReplayRow] = []
    with showing_progress("combinations replayed") as tell:
        for change, replayed in zip(changes, replay_all(recording, changes), strict=True):
            rows.append(ReplayRow.of(change, replayed, references))
            tell(len(rows), len(changes))
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        make_console(sys.stdout).print(sweep_table(rows))
    return 0


def _changes(given: Mapping[str, Any]) -> Sequence["Change"]:
    from numina_infer.lab.replay.variant import Change, sweep

    base = Change(
        policy=given.get("policy"),
        stop_rule=given.get("stop_rule"),
        vote_weights=dict(map(read_vote_weight, given.get("vote_weights", ()))),
        time_limit_s=given.get("time_limit"),
    )
    return list(
        sweep(
            num_samples=_list("num-samples", given.get("num_samples"), int),
            epsilon=_list("epsilon", given.get("epsilon"), float),
            answer_range=_list("answer-range", given.get("answer_range"), AnswerRange),
            base=base,
        )
    )


def _list(name: str, text: str | None, kind: Callable[[str], Value]) -> Sequence[Value]:
    if text is None:
        return ()
    try:
        return [kind(one.strip()) for one in text.split(",")]
    except ValueError as error:
        choices = f", each one of {', '.join(AnswerRange)}" if kind is AnswerRange else ""
        raise ConfigError(f"--{name} is {text!r}; give a value, or several with commas between{choices}") from error


def _references(recording: "Recording", file: Path | None) -> Mapping[str, str]:
    """The answers in `file`; without one, those in the problems file that the run read, if it is still there."""
    from numina_infer.lab.evaluate.matching import find_references

    try:
        return find_references(recording, file).of(recording)
    except ConfigError:
        if file is not None:
            raise
        return {}
