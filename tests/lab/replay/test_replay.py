"""Replay: the same events before the same referee give the same verdict, and another policy its own."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.collection import collect
from numina_infer.app.rehearsal import rehearse
from numina_infer.app.tasks import Collection, Rehearsal
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig, Policy, RolloutConfig, StopRule, VoteWeights
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.events import Ended, Event, Opened, Solved, Started, Stopped
from numina_infer.core.presets import Preset
from numina_infer.core.records import (
    AnswerRange,
    AnswerSource,
    Completion,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    StopReason,
    Trajectory,
    Turn,
)
from numina_infer.formats.numina import NUMINA
from numina_infer.lab.replay.recording import Recording, read_recording
from numina_infer.lab.replay.replay import Replay, replay_all, replay_run
from numina_infer.lab.replay.variant import Change, sweep
from numina_infer.runs.log import RunLog
from numina_infer.solving.contest import Contest, Parts
from numina_infer.voting.referee import conclude, fold
from tests.examples import costly
from tests.mischief import KINDS, BadEngine, BadSandbox, Mischief
from tests.run_folders import described
from tests.summing import SUMMING

QUIET = Console(quiet=True)
PROBLEM = Problem("p", "What is it?")


def ending(index: int, raw: str, answer_range: AnswerRange, num_tokens: int = 10) -> Trajectory:
    """A trajectory that boxed `raw`."""
    vote = answer_range.place(int(raw)) if raw.lstrip("-").isdigit() else NoAnswer.NOT_AN_INTEGER
    value, reason = (None, vote) if isinstance(vote, NoAnswer) else (vote, None)
    turn = Turn(Completion(f"\\boxed{{{raw}}}", (), FinishReason.EOS, num_tokens=num_tokens))
    answer = ExtractedAnswer(value, reason, AnswerSource.BOXED, raw)
    return Trajectory(PROBLEM.id, index, (turn,), Outcome.FINISHED, answer, ended_at=1.0)


def collected(folder: Path, raws: Sequence[str], answer_range: AnswerRange = AnswerRange.MOD_1000) -> Recording:
    """A run in which every sample came to its end, boxing `raws`, one a second."""
    policy = Policy(num_samples=len(raws), stop_rule=StopRule.NEVER)
    preset = Preset("numina", RolloutConfig(answer_range=answer_range), policy)
    events: list[Event] = [Opened(PROBLEM, "", deadline=1000.0, num_samples=len(raws), at=0.0)]
    events += [Started(PROBLEM.id, index, 0.0) for index in range(len(raws))]
    events += [Ended(ending(index, raw, answer_range), index + 1.0) for index, raw in enumerate(raws)]
    ledger = None
    for event in events:
        ledger = fold(ledger, event)
    assert ledger is not None
    end = len(raws) + 1.0
    solution = conclude(PROBLEM.id, policy, ledger, StopReason.EXHAUSTED, end)
    events += [Stopped(PROBLEM.id, StopReason.EXHAUSTED, end), Solved(solution, end)]
    return read_recording(described(folder, preset, events))


def as_older(folder: Path) -> None:
    """Make a log what it would have been before it told where the referee stopped, and by which rules."""
    path = folder / "trajectories.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row.pop("rules", None)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows if row["event"] != "stopped"))
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "format_version": 1}))


def assert_exact(replayed: Replay) -> None:
    """Every problem has what it had."""
    for one in replayed.problems:
        assert one.recorded.solution is not None
        assert one.is_as_recorded, f"{one.recorded.solution}\n{one.solution}"


# --- the run's own policy ---


@costly(60)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    has_bank=st.booleans(),
    limit_s=st.floats(30.0, 2000.0),
    policy=st.builds(
        Policy,
        num_samples=st.integers(1, 12),
        width=st.integers(0, 4),
        stop_rule=st.sampled_from(StopRule),
        epsilon=st.sampled_from([0, 0.01, 0.2]),
        weights=st.builds(VoteWeights, suspicious=st.sampled_from([1.0, 0.3]), partial=st.sampled_from([0.0, 1.0])),
        fallback_answer=st.integers(0, 9),
    ),
)
def test_whatever_happened_to_a_contest_its_replay_is_exact(
    seed: int, kinds: list[str], has_bank: bool, limit_s: float, policy: Policy
) -> None:
    """Verdicts, votes and stops, with engines and sandboxes that dawdle, fail, hang and break."""
    bank = BankConfig.of_limit(limit_s) if has_bank else None
    preset = Preset("numina", RolloutConfig(), policy, ContestConfig(problem_time_s=min(600.0, limit_s), bank=bank))
    mischief = Mischief(random.Random(seed), tuple(kinds))  # noqa: S311 (a test's luck)
    with TemporaryDirectory() as name:
        folder = described(Path(name) / "run", preset)
        parts = Parts(preset, NUMINA, BadEngine(mischief), BadSandbox(mischief), clock=virtual_clock())
        with RunLog(folder, resume=True) as log, Contest(parts, log) as contest:
            solutions = [contest.solve(Problem(str(number), f"What is {number}?")) for number in range(4)]
        replayed = replay_run(read_recording(folder))
    assert_exact(replayed)
    assert [replace(solution, incidents=()) for solution in solutions] == [one.solution for one in replayed.problems]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty problems on two simulated T4s, with refill, the predictive rule and a time bank."""
    folder = tmp_path_factory.mktemp("simulated") / "run"
    choices = Choices(preset="t4x2", engine=EngineName.SIMULATED, num_samples=16)
    rehearse(Rehearsal(choices=choices), folder, QUIET)
    return folder


def test_a_simulated_contest_replays_exactly(simulated: Path) -> None:
    """Every verdict has its votes and its stop."""
    replayed = replay_run(read_recording(simulated))
    assert len(replayed.problems) == 50
    assert_exact(replayed)
    assert replayed.num_as_recorded == 50


@pytest.mark.parametrize("paper", [False, True])
def test_a_rehearsal_replays_exactly(tmp_path: Path, paper: bool) -> None:
    """By our rules and by the paper's, with real programs."""
    rehearse(Rehearsal(choices=Choices(engine=EngineName.SCRIPTED, paper=paper)), tmp_path / "run", QUIET)
    assert_exact(replay_run(read_recording(tmp_path / "run")))


def test_a_log_from_before_stops_were_told_replays_exactly(simulated: Path, tmp_path: Path) -> None:
    """Its stops are found by its own policy; what attempts handed over behind them counts as it did."""
    shutil.copytree(simulated, tmp_path / "run")
    as_older(tmp_path / "run")
    assert_exact(replay_run(read_recording(tmp_path / "run")))


@pytest.mark.slow
@pytest.mark.parametrize(("num_problems", "num_samples"), [(100, 100), (1, 10_000)])
def test_ten_thousand_trajectories_replay_exactly(tmp_path: Path, num_problems: int, num_samples: int) -> None:
    """As many problems as make that, or one alone; the answers are drawn, some of them no votes."""
    problems, script = tmp_path / "problems.jsonl", tmp_path / "script.jsonl"
    luck = random.Random(0)  # noqa: S311 (a test's luck)
    answers = ["7", "7", "12", "1007", "-3", "2.5", "99999", "100000"]
    rows = [{"id": str(number), "problem": f"What is ({number})?", "answer": "7"} for number in range(num_problems)]
    problems.write_text("\n".join(map(json.dumps, rows)))
    lines = [{"problem": row["problem"], "completions": _drawn(luck, answers, 997)} for row in rows]
    script.write_text("\n".join(map(json.dumps, lines)))
    choices = Choices(preset="collect", engine=EngineName.SCRIPTED, script=str(script), num_samples=num_samples)
    collect(Collection(str(problems), choices, concurrent_problems=8), tmp_path / "run", QUIET, backends=SUMMING)
    recording = read_recording(tmp_path / "run")
    assert sum(len(recorded.trajectories) for recorded in recording.problems) == num_problems * num_samples
    assert_exact(replay_run(recording))


def _drawn(luck: random.Random, answers: Sequence[str], count: int) -> list[list[str]]:
    return [[f"The answer is $\\boxed{{{luck.choice(answers)}}}$."] for _ in range(count)]


def test_a_flipped_answer_changes_the_verdict(tmp_path: Path) -> None:
    """Replay works the verdict out; it doesn't read the solution back."""
    recording = collected(tmp_path / "run", ["5", "5", "8", "8", "5"])
    assert replay_run(recording).problems[0].is_as_recorded
    path = tmp_path / "run" / "trajectories.jsonl"
    lines = path.read_text().splitlines()
    last = next(number for number in reversed(range(len(lines))) if '"ended"' in lines[number])
    lines[last] = lines[last].replace('"value":5', '"value":8')
    path.write_text("".join(f"{line}\n" for line in lines))
    (flipped,) = replay_run(read_recording(tmp_path / "run")).problems
    assert flipped.solution is not None
    assert (flipped.solution.answer, dict(flipped.solution.votes)) == (8, {5: 2000, 8: 3000})
    assert not flipped.is_as_recorded


# --- another policy ---


def test_another_epsilon_stops_where_a_live_run_of_it_would_have(tmp_path: Path) -> None:
    """Of 20 samples that agree, the exact rule needs eleven, the predictive one fewer."""
    recording = collected(tmp_path / "run", ["5"] * 20)
    exact, predictive = replay_all(recording, [Change(epsilon=0.0), Change(epsilon=0.05)])
    assert exact.problems[0].ledger.num_ended == 11
    assert predictive.problems[0].ledger.num_ended < 11
    assert predictive.problems[0].num_tokens == 10 * predictive.problems[0].ledger.num_ended
    assert predictive.problems[0].seconds == predictive.problems[0].ledger.num_ended
    for one in (*exact.problems, *predictive.problems):
        assert one.solution is not None
        assert (one.solution.answer, one.solution.stop_reason) == (5, StopReason.DECIDED)


@given(st.lists(st.sampled_from(["1", "2", "3", "x"]), min_size=1, max_size=12), st.integers(1, 12))
def test_a_smaller_horizon_has_the_first_trajectories_alone(raws: list[str], num_samples: int) -> None:
    """The verdict is that of a run which never had the others."""
    with TemporaryDirectory() as name:
        whole = collected(Path(name) / "whole", raws)
        part = collected(Path(name) / "part", raws[:num_samples])
        change = Change(num_samples=min(num_samples, len(raws)))
        (one,), (other,) = replay_run(whole, change).problems, replay_run(part).problems
    assert one.solution is not None
    assert other.solution is not None
    assert (one.solution.answer, one.solution.votes) == (other.solution.answer, other.solution.votes)


def test_a_log_that_stops_short_says_so(tmp_path: Path) -> None:
    """More samples than there were, and a stop that came too soon for the exact rule."""
    recording = collected(tmp_path / "run", ["5", "8", "5", "8"])
    (wanted_more,) = replay_run(recording, Change(num_samples=9)).problems
    assert (wanted_more.solution, wanted_more.is_recorded) == (None, False)
    assert wanted_more.ledger.num_ended == 4
    rehearse(
        Rehearsal(choices=Choices(engine=EngineName.SCRIPTED, num_samples=24, epsilon=0.05)),
        tmp_path / "predictive",
        QUIET,
        backends=SUMMING,
    )
    short = replay_run(read_recording(tmp_path / "predictive"), Change(epsilon=0.0))
    assert short.num_unrecorded == 10


def test_more_samples_than_there_were_are_not_needed_by_a_decided_problem(tmp_path: Path) -> None:
    """Nine agree, and twelve were wanted: what is out can't change it."""
    recording = collected(tmp_path / "run", ["5"] * 9)
    (one,) = replay_run(recording, Change(num_samples=12, epsilon=0.0)).problems
    assert one.solution is not None
    assert one.ledger.num_ended == 7


@pytest.mark.parametrize(
    ("was", "wanted", "votes"),
    [
        (AnswerRange.MOD_1000, AnswerRange.UP_TO_99999, {1007: 2000, 7: 1000}),
        (AnswerRange.MOD_1000, AnswerRange.UP_TO_999, {7: 1000}),
        (AnswerRange.UP_TO_999, AnswerRange.MOD_1000, {7: 3000, 0: 1000}),
        (AnswerRange.UP_TO_999, AnswerRange.UP_TO_99999, {1007: 2000, 7: 1000}),
        (AnswerRange.UP_TO_99999, AnswerRange.MOD_1000, {7: 3000, 0: 1000}),
    ],
)
def test_another_range_reads_what_was_stated(
    tmp_path: Path, was: AnswerRange, wanted: AnswerRange, votes: dict[int, int]
) -> None:
    """The integer stands in the log as it was written, so no range has lost it."""
    recording = collected(tmp_path / "run", ["1007", "7", "1007", "-3", "2.5", "100000"], was)
    (one,) = replay_run(recording, Change(answer_range=wanted)).problems
    assert one.solution is not None
    assert dict(one.solution.votes) == votes


def test_other_weights_count_otherwise(tmp_path: Path) -> None:
    """Two small answers that count a third are fewer than one large."""
    recording = collected(tmp_path / "run", ["5", "5", "821"])
    (one,) = replay_run(recording, Change(vote_weights={"suspicious": 0.3})).problems
    assert one.solution is not None
    assert (one.solution.answer, dict(one.solution.votes)) == (821, {5: 600, 821: 1000})
    with pytest.raises(ConfigError, match="luck"):
        replay_run(recording, Change(vote_weights={"luck": 0.5}))


def test_a_preset_lends_its_policy(tmp_path: Path) -> None:
    """Single values change it."""
    recording = collected(tmp_path / "run", ["5"] * 9)
    variant = replay_run(recording, Change(policy="t4x2", num_samples=9)).variant
    assert (variant.policy.num_samples, variant.policy.epsilon, variant.policy.width) == (9, 0.01, 48)


def test_a_sweep_has_every_combination_once() -> None:
    """What has no values stays as it is."""
    changes = list(sweep(num_samples=[8, 16], epsilon=[0.0, 0.01], base=Change(policy="t4x2")))
    assert [(change.num_samples, change.epsilon) for change in changes] == [(8, 0.0), (8, 0.01), (16, 0.0), (16, 0.01)]
    assert {(change.policy, change.answer_range) for change in changes} == {("t4x2", None)}
    assert list(sweep()) == [Change()]


# --- another bank ---


def test_a_shorter_limit_gives_less_to_each_problem_and_what_is_saved_to_the_next(simulated: Path) -> None:
    """Every slice is what the bank would have cut when the problem would have come."""
    recording = read_recording(simulated)
    as_it_was = replay_run(recording, Change(time_limit_s=9 * 3600.0))
    assert_exact(as_it_was)
    short = replay_run(recording, Change(time_limit_s=2400.0))
    assert short.num_unrecorded == 0
    assert sum(one.seconds for one in short.problems) <= 2400.0 - 300.0
    reasons = [one.solution.stop_reason for one in short.problems if one.solution is not None]
    assert StopReason.DEADLINE in reasons


def test_a_bank_needs_problems_that_came_one_after_another(tmp_path: Path) -> None:
    """Those of a collection overlap, so nobody knows when one would have come."""
    choices = Choices(preset="collect", engine=EngineName.SCRIPTED, num_samples=4)
    collect(Collection(None, choices, concurrent_problems=4), tmp_path / "run", QUIET, backends=SUMMING)
    with pytest.raises(ConfigError, match="one after another"):
        replay_run(read_recording(tmp_path / "run"), Change(time_limit_s=600.0))


# --- runs that aren't whole ---


def test_a_run_killed_in_the_middle_of_a_line_replays_as_far_as_it_went(tmp_path: Path) -> None:
    """A problem without a verdict has none; the others keep theirs."""
    rehearse(Rehearsal(choices=Choices(engine=EngineName.SCRIPTED)), tmp_path / "run", QUIET, backends=SUMMING)
    for name, keep in (("trajectories.jsonl", 0.55), ("solutions.jsonl", 0.5)):
        path = tmp_path / "run" / name
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
    replayed = replay_run(read_recording(tmp_path / "run"))
    solved = [one for one in replayed.problems if one.recorded.solution is not None]
    assert 0 < len(solved) < 10
    assert all(one.is_as_recorded for one in solved)


def test_a_log_that_lost_endings_of_a_verdict_has_no_stop_to_replay(tmp_path: Path) -> None:
    """Nobody knows what they were, so nothing is made up for them."""
    collected(tmp_path / "run", ["5", "8", "8", "5", "5"])
    path = tmp_path / "run" / "trajectories.jsonl"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:-2]))
    (one,) = replay_run(read_recording(tmp_path / "run")).problems
    assert one.recorded.solution is not None
    assert (one.solution, one.ledger.num_ended) == (None, 4)


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    """So is a run that doesn't say what it was made with."""
    folder = described(tmp_path / "run", Preset("numina", RolloutConfig(), Policy()))
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "format_version": 99}))
    with pytest.raises(RunLogError, match="99"):
        read_recording(folder)
    del info["preset"]
    (folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(RunLogError, match="policy"):
        read_recording(folder)


def test_a_paper_run_takes_no_other_rules(tmp_path: Path) -> None:
    """The kernel's answers were read by the kernel's reader."""
    paper = Rehearsal(choices=Choices(engine=EngineName.SCRIPTED, paper=True))
    rehearse(paper, tmp_path / "run", QUIET, backends=SUMMING)
    with pytest.raises(ConfigError, match="paper"):
        replay_run(read_recording(tmp_path / "run"), Change(epsilon=0.05))
