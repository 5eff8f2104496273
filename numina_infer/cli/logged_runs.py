"""The commands that read run folders: `replay`, `evaluate`, `report` and `export`."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from numina_infer.cli.parser import Commands, add_command, add_json, add_option, make_console, showing_progress
from numina_infer.cli.runs import read_vote_weight
from numina_infer.core.config import StopRule, require_choice
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import PRESETS
from numina_infer.core.records import AnswerRange

if TYPE_CHECKING:
    from numina_infer.core.ports import Advance
    from numina_infer.lab.evaluate.evaluation import Evaluation
    from numina_infer.lab.replay.recording import Recording
    from numina_infer.lab.replay.variant import Change

_REPLAY_EXAMPLES = """\
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
Without --references the run's own problems file is taken, if it is still there. docs/tuning.md has the rest.

Exit code 1 where a run's own policy didn't give its own verdicts: the log was changed, or another version decides
otherwise."""

_EVALUATE_EXAMPLES = """\
examples:
  numina-infer evaluate runs/20261123-093000                                against the file that the run was made from
  numina-infer evaluate runs/20261123-093000 --references aime.jsonl --k 1 --k 8 --k 48
  numina-infer evaluate runs/hot --against runs/cold --references aime.jsonl   which of two settings is better
  numina-infer evaluate runs/math --references math500.jsonl --grader general  fractions, sets, terms
  numina-infer evaluate runs/20261123-093000 --json | jq .run.verdicts

References are CSV, JSONL or Parquet with id, problem and answer; numina-infer problems makes them of validation sets.
maj@k is what a vote of k samples would have been worth, pass@k the chance that one of k is right: means over all
subsets of the recorded samples. A log that stopped early has few samples of easy problems; collect takes them all.
Intervals are 95 % and hold for other problems of the kind. Two runs are compared problem by problem.
The grader auto takes our own reader where every reference can be voted for, else math-verify (extra eval).
docs/tuning.md says how to read the figures."""

_REPORT_EXAMPLES = """\
examples:
  numina-infer report runs/20261123-093000                        the page is report.html in the run folder
  numina-infer report runs/20261123-093000 --references test.csv --out page.html    with right and wrong

The page opens in any browser, needs no network and loads nothing. It has the verdicts, a timeline, each problem's
ballot as it grew, the votes that were lost and why, and every trajectory with its programs, outputs and formulae.
A run that goes on, or was cut off, is shown as far as it got.
Without --references those of the run's own problems file are taken, where it is still the same.
Formulae are typeset by latex2mathml: pip install 'numina-infer[report]'."""

_EXPORT_EXAMPLES = """\
examples:
  numina-infer export runs/20261123-093000 --format sft --references math500.jsonl
      what ended right, with programs' outputs marked, into runs/20261123-093000/sft
  numina-infer export runs/20261123-093000 --format sft --references math500.jsonl --tokenizer ./my-7b
      the same with the very tokens that were sampled, and labels
  numina-infer export runs/20261123-093000 --format kto --references math500.jsonl --per-problem 8 --out kto-data
      right and wrong completions, labelled, at most eight of each a problem

--references is a problems file with answers; problems that aren't in it are left out and named.
A trajectory is right by its own answer, whatever the vote said. Those that a limit, the cutoff or an error ended, and
those without an integer in range, are left out of both formats, and a text is taken once.
The folder is a data set as the hub has them: Parquet, and a README.md that says where it came from, how to train on it
with TRL, and what was left out. datasets.load_dataset(DIR) reads it."""

Value = TypeVar("Value")


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    meaning = "decide a recorded run again, by its own policy or another, without a GPU"
    _add_replay(add_command(commands, "replay", _replay, meaning, epilog=_REPLAY_EXAMPLES))
    meaning = "say how often a run is right, what fewer samples would have been worth, and where votes are lost"
    _add_evaluate(add_command(commands, "evaluate", _evaluate, meaning, epilog=_EVALUATE_EXAMPLES))
    meaning = "make one self-contained HTML page of a run: verdicts, time, ballots, trajectories"
    report = add_command(commands, "report", _report, meaning, epilog=_REPORT_EXAMPLES)
    report.add_argument("run", metavar="RUN", type=Path, help="a run folder, finished or not")
    add_option(report, "--references FILE", "a problems file with answers")
    add_option(report, "--out FILE", "the page (default: report.html in the run folder)")
    meaning = "write a run's trajectories as training data for TRL, sorted by whether they are right"
    _add_export(add_command(commands, "export", _export, meaning, epilog=_EXPORT_EXAMPLES))


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, finished or not")
    other = parser.add_argument_group("another policy; lists with commas give every combination")
    add_option(other, f"--policy {'|'.join(PRESETS)}", "a preset's policy instead of the run's own")
    add_option(other, "--num-samples N[,N…]", "horizons, at most what was recorded to be of use")
    add_option(other, "--epsilon P[,P…]", "0 is the exact rule")
    add_option(other, f"--stop-rule {'|'.join(StopRule)}", "never: every recorded sample votes")
    add_option(other, f"--answer-range {'|'.join(AnswerRange)}", "which integers count, a list too")
    add_option(other, "--vote-weight NAME=SHARE", "may be repeated", action="append", default=[])
    add_option(other, "--time-limit SECONDS", "share out so much time among the problems")
    add_option(parser, "--references FILE", "a problems file with answers to score by")
    add_json(parser, "the rows as JSON")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, finished or not")
    add_option(parser, "--against RUN", "a second run, to be compared on the same problems")
    add_option(parser, "--references FILE", "a problems file with answers (default: the run's own)")
    add_option(parser, "--k K", "samples of a vote; may be repeated (default: a curve)", action="append")
    meaning = "integers by our own reader, or mathematics by math-verify (default: auto)"
    add_option(parser, "--grader auto|integer|general", meaning, default="auto")
    add_json(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, finished or not")
    add_option(parser, "--format sft|kto", "what ended right, or right and wrong ones", required=True)
    add_option(parser, "--references FILE", "CSV, JSONL or Parquet", required=True)
    add_option(parser, "--out DIR", "a new folder (default: sft or kto in RUN)")
    add_option(parser, "--per-problem N", "at most so many of one problem, right and wrong ones each")
    add_option(parser, "--license ID", "for the card, as the hub has it: mit, apache-2.0")
    add_option(parser, "--tokenizer DIR", "folder of the model that was run: adds exact tokens (sft)")


def _replay(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.matching import find_references, own_references
    from numina_infer.lab.replay.recording import read_recording
    from numina_infer.lab.replay.replay import replay_all
    from numina_infer.lab.replay.replay_table import ReplayRow, sweep_table

    changes = _changes(chosen)
    recording = read_recording(chosen.run)
    references = find_references(recording, chosen.references or own_references(recording.info)).of(recording)
    if len(changes) == 1:
        return _replay_once(recording, changes[0], references, as_json=chosen.json)
    rows: list[ReplayRow] = []
    with showing_progress("combinations replayed") as tell:
        for change, replayed in zip(changes, replay_all(recording, changes), strict=True):
            rows.append(ReplayRow.of(change, replayed, references))
            tell(len(rows), len(changes))
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        make_console(sys.stdout).print(sweep_table(rows))
    return 0


def _replay_once(recording: "Recording", change: "Change", references: Mapping[str, str], *, as_json: bool) -> int:
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


def _changes(chosen: argparse.Namespace) -> "Sequence[Change]":
    from numina_infer.lab.replay.variant import Change, sweep

    base = Change(
        policy=chosen.policy,
        stop_rule=chosen.stop_rule,
        vote_weights=dict(map(read_vote_weight, chosen.vote_weight)),
        time_limit_s=chosen.time_limit,
    )
    return sweep(
        num_samples=_list("num-samples", chosen.num_samples, int),
        epsilon=_list("epsilon", chosen.epsilon, float),
        answer_range=_list("answer-range", chosen.answer_range, AnswerRange),
        base=base,
    )


def _list(name: str, text: str | None, kind: Callable[[str], Value]) -> Sequence[Value]:
    if text is None:
        return ()
    try:
        return [kind(one.strip()) for one in text.split(",")]
    except ValueError as error:
        choices = f", each one of {', '.join(AnswerRange)}" if kind is AnswerRange else ""
        raise ConfigError(f"--{name} is {text!r}; give a value, or several with commas between{choices}") from error


def _evaluate(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.evaluation import compare
    from numina_infer.lab.evaluate.frames import comparison_record, comparison_table, evaluation_record, tables

    with showing_progress("problems marked") as tell:
        done = _evaluations(chosen, tell)
    compared = [compare(done[0], done[1], k) for k in chosen.k or [None]] if len(done) == 2 else []
    if chosen.json:
        records = zip(("run", "against"), (evaluation_record(one, chosen.k) for one in done), strict=False)
        both = {"comparisons": [comparison_record(one) for one in compared]} if compared else {}
        print(json.dumps({**dict(records), **both}, allow_nan=False))
        return 0
    console = make_console(sys.stdout)
    for evaluation in done:
        for shown in (*tables(evaluation, chosen.k), *evaluation.remarks):
            console.print(shown, soft_wrap=isinstance(shown, str) or None)  # a table's title is the console's concern
    for comparison in compared:
        console.print(comparison_table(comparison))
        for line in (*comparison.remarks, comparison.sentence):
            console.print(line, soft_wrap=True)
    return 0


def _evaluations(chosen: argparse.Namespace, tell: "Advance") -> "list[Evaluation]":
    """The evaluations of one run or of two, graded in the same way."""
    from numina_infer.lab.evaluate.evaluation import evaluate_run
    from numina_infer.lab.evaluate.marking import GraderName

    runs = [chosen.run] if chosen.against is None else [chosen.run, chosen.against]
    done = [evaluate_run(run, chosen.references, grader=chosen.grader, tell=tell) for run in runs]
    if len({one.grader for one in done}) == 1:
        return done
    return [evaluate_run(run, chosen.references, grader=GraderName.GENERAL, tell=tell) for run in runs]


def _report(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.report.report_page import write_report
    from numina_infer.runs.problems import read_problems

    references = read_problems(chosen.references).references if chosen.references else None
    with showing_progress("events of the run read") as tell:
        path = write_report(chosen.run, chosen.out, references, on_progress=tell)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    make_console(sys.stdout).print(f"{path} ({size}); open it in a browser", soft_wrap=True)
    return 0


def _export(chosen: argparse.Namespace) -> int:
    from numina_infer.lab.evaluate.matching import named
    from numina_infer.lab.export.export import ExportConfig, Training, export

    console = make_console(sys.stdout)
    training = require_choice("--format", chosen.format, Training)
    out = chosen.out or chosen.run / str(training)
    config = ExportConfig(training, chosen.references, out, chosen.per_problem, chosen.license, chosen.tokenizer)
    with console.status("reading the run log"):
        selection = export(chosen.run, config)
    lines = [selection.counts]
    lines += [f"left out: {count}, {status.reason}" for status, count in selection.left_out.most_common()]
    if selection.unknown:
        lines.append(f"without a reference: {named(selection.unknown)}")
    for line in (*lines, f"the data set and its card are in {out}"):
        console.print(line, soft_wrap=True)
    return 0
