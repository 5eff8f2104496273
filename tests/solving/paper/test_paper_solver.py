"""The paper's way, driven: rounds and barriers, what is recorded, and what the kernel had no answer to."""

import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from numina_infer import read_run
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.rehearsal import rehearse
from numina_infer.app.run_folder import read_task
from numina_infer.app.tasks import Rehearsal
from numina_infer.cli import main
from numina_infer.core.config import Policy, RolloutConfig, SamplingParams, StopRule
from numina_infer.core.errors import ConfigError, EngineError, SandboxError
from numina_infer.core.events import Ended, Event, Opened, Started
from numina_infer.core.ports import Cutoff
from numina_infer.core.presets import Preset
from numina_infer.core.records import (
    AnswerRange,
    Completion,
    Execution,
    ExecutionStatus,
    Outcome,
    Part,
    Problem,
    Solution,
    StopReason,
    Trajectory,
)
from numina_infer.engines.scripted_engine import ScriptedDecoder, ScriptedEngine
from numina_infer.formats.catalogue import make_format
from numina_infer.runs.history import read_logged_problems
from numina_infer.runs.progress import RunConsole
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.solving.paper import PaperSolver, Sample, process
from numina_infer.voting.referee import Ledger, fold
from tests.examples import costly
from tests.summing import write_sums

PROBLEM = Problem("p", "What is $1+1$?")
PROMPT = "### Problem: What is $1+1$?\n### Solution: "
ASKS = "We compute.\n```python\nprint(1 + 1)\n```\n```output\n"
MADE_UP = "```python\nprint(2)\n```\nThis gives $\\boxed{2}$."


def boxed(answer: int) -> str:
    """A last word."""
    return f"\nThe answer is $\\boxed{{{answer}}}$."


def two(code: str) -> Execution:
    """Every program prints 2."""
    return Execution(ExecutionStatus.OK, "2", stdout="2\n")


def preset(num_samples: int, max_turns: int = 4) -> Preset:
    """The kernel's format, short turns."""
    rollout = RolloutConfig(sampling=SamplingParams(max_tokens=10**8), max_turns=max_turns)
    return Preset("numina", rollout, Policy(num_samples=num_samples, stop_rule=StopRule.NEVER))


class Recorder:
    """Keeps the events of one problem and folds them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ledger: Ledger | None = None

    def __call__(self, event: Event) -> Ledger:
        """Take one event in."""
        self.events.append(event)
        self.ledger = fold(self.ledger, event)
        return self.ledger

    @property
    def trajectories(self) -> list[Trajectory]:
        """In the order in which they ended."""
        return [event.trajectory for event in self.events if isinstance(event, Ended)]


async def solve(
    engine: ScriptedEngine,
    chosen: Preset,
    recorder: Recorder,
    *,
    run: Callable[[str], Execution] = two,
    time_left: float = 100.0,
    meanwhile: Callable[[Cutoff], object] | None = None,
    ticks: int = 0,
) -> Solution:
    """Solve the problem, and call `meanwhile` after `ticks` turns of the loop."""
    cutoff = Cutoff(anyio.current_time() + time_left)
    opened = recorder(Opened(PROBLEM, "", cutoff.at, chosen.policy.num_samples, anyio.current_time()))
    verdicts: list[Solution] = []

    async def work() -> None:
        solver = PaperSolver(make_format(chosen.format), engine, sandbox, chosen, recorder, count())
        verdicts.append(await solver.solve(PROBLEM, opened, cutoff, attempts))
        attempts.cancel_scope.cancel()

    async with ScriptedSandbox(run) as sandbox, anyio.create_task_group() as attempts:
        attempts.start_soon(work)
        for _ in range(ticks):
            await checkpoint()
        if meanwhile:
            meanwhile(cutoff)
    assert sandbox.num_open_sessions == 0
    return verdicts[0]


def written(trajectory: Trajectory) -> list[str]:
    """What the model wrote, turn by turn."""
    return [turn.completion.text for turn in trajectory.turns]


# --- rounds ---


@pytest.mark.anyio
async def test_three_programs_run_and_the_fourth_does_not() -> None:
    """The last round's program has nobody to read its output."""
    recorder = Recorder()
    solution = await solve(ScriptedEngine([[ASKS] * 4]), preset(2), recorder)
    assert [len(trajectory.executions) for trajectory in recorder.trajectories] == [3, 3]
    assert {trajectory.outcome for trajectory in recorder.trajectories} == {Outcome.MAX_TURNS}
    assert (solution.answer, solution.is_fallback, solution.stop_reason) == (0, True, StopReason.EXHAUSTED)


@pytest.mark.anyio
async def test_a_round_waits_for_its_slowest_sample() -> None:
    """Nothing runs while anything is written, and nothing is written while anything runs."""
    order: list[str] = []

    def say(context_text: str, seed: int) -> str:
        order.append("write")
        return ASKS + " " * (seed % 7)

    def run(code: str) -> Execution:
        order.append("run")
        return two(code)

    await solve(ScriptedEngine(say, max_num_seqs=2), preset(5, max_turns=3), Recorder(), run=run)
    assert order == ["write"] * 5 + ["run"] * 5 + ["write"] * 5 + ["run"] * 5 + ["write"] * 5


@pytest.mark.anyio
async def test_a_restart_goes_back_to_the_prompt_and_uses_up_the_round() -> None:
    """The discarded turn stays in the record, and the next one's prompt is short again."""
    contexts: list[str] = []

    def say(context_text: str, seed: int) -> str:
        contexts.append(context_text)
        return {1: "No program here.", 2: ASKS, 3: boxed(2), 4: ""}[len(contexts)]

    recorder = Recorder()
    solution = await solve(ScriptedEngine(say), preset(1), recorder)
    told = PROMPT + ASKS + "2\n```"
    assert contexts == [PROMPT, PROMPT, told, told + boxed(2)]
    assert written(recorder.trajectories[0]) == ["No program here.", ASKS, boxed(2), ""]
    assert (solution.answer, solution.votes) == (2, {2: 1000})


@pytest.mark.anyio
async def test_a_finished_sample_is_written_on() -> None:
    """It may answer again, and the later answer counts."""
    recorder = Recorder()
    solution = await solve(ScriptedEngine([[ASKS, boxed(2), boxed(3), "\nIndeed."]]), preset(1), recorder)
    assert written(recorder.trajectories[0]) == [ASKS, boxed(2), boxed(3), "\nIndeed."]
    assert solution.answer == 3


@pytest.mark.anyio
async def test_a_pruned_sample_is_left_alone() -> None:
    """Its vote is lost, and it ends before all others."""
    recorder = Recorder()
    solution = await solve(ScriptedEngine([[ASKS, boxed(4)], [MADE_UP, boxed(2)]]), preset(2), recorder)
    assert [trajectory.index for trajectory in recorder.trajectories] == [1, 0]
    assert written(recorder.trajectories[0]) == [MADE_UP]
    assert (solution.answer, solution.votes) == (4, {4: 1000})


@pytest.mark.anyio
async def test_a_tie_goes_to_the_first_by_index() -> None:
    """Not to the larger answer, as ours do."""
    solution = await solve(ScriptedEngine([[ASKS, boxed(2)], [ASKS, boxed(3)]]), preset(4), Recorder())
    assert (solution.answer, solution.votes) == (2, {2: 2000, 3: 2000})


@pytest.mark.anyio
async def test_a_tie_goes_to_a_pruned_sample_that_had_an_answer() -> None:
    """Those are counted first."""
    steps = {0: [ASKS, boxed(5), "." * 101, MADE_UP], 1: [ASKS, boxed(3), "", ""]}
    spoken = dict.fromkeys(steps, 0)

    class Steps(ScriptedEngine):
        """Speaks by rounds, which a restart doesn't set back."""

        @asynccontextmanager
        async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
            engine = ScriptedEngine([[steps[1 - ticket][spoken[ticket]]] * 9])
            spoken[ticket] += 1
            async with engine.slot(0) as decoder:
                yield decoder

    recorder = Recorder()
    solution = await solve(Steps([[""]]), preset(2), recorder)
    assert [trajectory.index for trajectory in recorder.trajectories] == [1, 0]
    assert (solution.answer, solution.votes) == (5, {5: 1000, 3: 1000})


@pytest.mark.anyio
async def test_the_last_characters_only_are_read() -> None:
    """And a restart there leaves no vote."""
    solution = await solve(ScriptedEngine([[ASKS, boxed(2) + "So it is. " * 10]]), preset(1), Recorder())
    assert (solution.answer, solution.is_fallback) == (0, True)


@pytest.mark.anyio
async def test_only_one_stop_string_stops() -> None:
    """A next problem that the model makes up is written down."""
    recorder = Recorder()
    chosen = Preset("numina-few-shot", preset(1).rollout, preset(1).policy)
    await solve(ScriptedEngine([["### Problem: another ```output\r\n" + ASKS + "more"]]), chosen, recorder)
    assert written(recorder.trajectories[0])[0].endswith(ASKS)


@pytest.mark.anyio
async def test_worked_examples_are_no_programs_of_the_model() -> None:
    """The rules see the kernel's own prompt, whatever the engine is given."""
    chosen = Preset("numina-few-shot", preset(1).rollout, preset(1).policy)
    solution = await solve(ScriptedEngine([[boxed(2)]]), chosen, Recorder())
    assert solution.is_fallback


@pytest.mark.anyio
async def test_verdicts_are_the_same_whatever_the_capacity() -> None:
    """Seeds and requests depend on no scheduling, so votes and their order don't either."""

    def by_seed(context_text: str, seed: int) -> str:
        return [ASKS, boxed(seed % 3), MADE_UP, "Hm."][seed % 4]

    verdicts = [
        await solve(ScriptedEngine(by_seed, max_num_seqs=capacity), preset(9), Recorder()) for capacity in (1, 3, 9)
    ]
    assert len({(verdict.answer, tuple(verdict.votes.items())) for verdict in verdicts}) == 1


@pytest.mark.anyio
async def test_the_record_judged_again_gives_the_recorded_answers() -> None:
    """Turns hold all that the rules look at."""

    def by_seed(context_text: str, seed: int) -> str:
        return [ASKS, boxed(seed % 3), MADE_UP, "Hm.", ASKS, ASKS][seed % 6]

    recorder = Recorder()
    await solve(ScriptedEngine(by_seed), preset(30), recorder)
    assert len(recorder.trajectories) == 30
    for trajectory in recorder.trajectories:
        sample = Sample.of(PROMPT)
        for number, turn in enumerate(trajectory.turns):
            sample, _ = process(sample.extended(turn.completion.text), is_last=number == 3)
            sample = sample.extended(turn.observation)
        assert sample.answer == trajectory.answer


# --- what the kernel had no answer to ---


@costly(60)
@given(
    ticks=st.integers(0, 400),
    num_samples=st.integers(1, 6),
    capacity=st.integers(1, 4),
    reason=st.sampled_from([StopReason.DEADLINE, StopReason.INTERRUPTED]),
)
def test_each_started_trajectory_ends_exactly_once_whatever_the_tick_of_the_cutoff(
    ticks: int, num_samples: int, capacity: int, reason: StopReason
) -> None:
    """And the verdict says why it is over."""

    async def scenario() -> None:
        engine = ScriptedEngine([[ASKS, boxed(2)], [boxed(3)], [ASKS, ASKS, boxed(2)]], max_num_seqs=capacity)
        recorder = Recorder()
        solution = await solve(
            engine,
            preset(num_samples),
            recorder,
            meanwhile=lambda cutoff: cutoff.move(anyio.current_time(), reason),
            ticks=ticks,
        )
        started = [event.index for event in recorder.events if isinstance(event, Started)]
        assert sorted(trajectory.index for trajectory in recorder.trajectories) == started
        assert solution.num_ended == solution.num_started == len(started)
        was_cut = any(trajectory.outcome is Outcome.CUTOFF for trajectory in recorder.trajectories)
        assert solution.stop_reason is (reason if was_cut or not started else StopReason.EXHAUSTED)
        assert engine.stats.num_running == 0

    anyio.run(scenario)


@pytest.mark.anyio
async def test_the_deadline_gives_the_answers_stored_so_far() -> None:
    """One sample has answered, another talks on for ever."""

    def say(context_text: str, seed: int) -> str:
        if context_text == PROMPT:
            return ASKS
        return "so " * 10**5 if "boxed" in context_text else boxed(4)

    solution = await solve(
        ScriptedEngine(say),
        preset(3),
        Recorder(),
        meanwhile=lambda cutoff: cutoff.move(anyio.current_time(), StopReason.DEADLINE),
        ticks=2000,
    )
    assert (solution.answer, solution.votes, solution.stop_reason) == (4, {4: 3000}, StopReason.DEADLINE)


@pytest.mark.anyio
async def test_a_deadline_in_the_past_starts_nothing() -> None:
    """The problem still gets a verdict, marked as a fallback."""
    recorder = Recorder()
    solution = await solve(ScriptedEngine([[ASKS]]), preset(3), recorder, time_left=-1.0)
    assert (solution.answer, solution.is_fallback, solution.num_started) == (0, True, 0)
    assert solution.stop_reason is StopReason.DEADLINE


class WedgedEngine(ScriptedEngine):
    """Gives no slot and hears no cutoff."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
        """Never a decoder's answer."""

        class Deaf(ScriptedDecoder):
            async def generate(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
                await anyio.sleep_forever()

        yield Deaf(self, ticket)


@pytest.mark.anyio
async def test_an_engine_that_hears_no_cutoff_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its samples end at the cutoff as all others."""
    monkeypatch.setattr("numina_infer.solving.paper.hand_over_s", lambda _preset, _ledger: 0.0)
    recorder = Recorder()
    solution = await solve(WedgedEngine([[""]]), preset(2), recorder, time_left=0.01)
    assert [trajectory.outcome for trajectory in recorder.trajectories] == [Outcome.CUTOFF] * 2
    assert solution.stop_reason is StopReason.DEADLINE


@pytest.mark.anyio
async def test_an_engines_error_costs_one_sample_and_no_stored_answer() -> None:
    """The others go on; the one that failed keeps what it had."""
    contexts: list[str] = []

    def say(context_text: str, seed: int) -> str:
        contexts.append(context_text)
        if len(contexts) == 7:
            raise EngineError("out of order")
        return ASKS if context_text == PROMPT else boxed(2)

    recorder = Recorder()
    solution = await solve(ScriptedEngine(say), preset(3), recorder)
    ends = [trajectory.outcome for trajectory in recorder.trajectories]
    assert ends == [Outcome.ENGINE_ERROR, Outcome.FINISHED, Outcome.FINISHED]
    assert recorder.trajectories[0].error == "out of order"
    assert solution.votes == {2: 3000}


@pytest.mark.anyio
async def test_a_sandboxs_error_costs_one_sample() -> None:
    """The others go on."""
    asked: list[str] = []

    def run(code: str) -> Execution:
        asked.append(code)
        if len(asked) == 1:
            raise SandboxError("no place left")
        return two(code)

    recorder = Recorder()
    solution = await solve(ScriptedEngine([[ASKS, boxed(2)]]), preset(3), recorder, run=run)
    assert [trajectory.index for trajectory in recorder.trajectories] == [0, 1, 2]
    assert recorder.trajectories[0].outcome is Outcome.SANDBOX_ERROR
    assert (solution.votes, len(asked)) == ({2: 2000}, 3)


@pytest.mark.anyio
async def test_a_completion_that_no_log_can_hold_costs_one_sample() -> None:
    """It is refused as it comes, as it is everywhere else; the others go on."""

    class OddEngine(ScriptedEngine):
        async def speak(
            self, context: Sequence[Part], params: SamplingParams, *, ticket: int, seed: int, cutoff: Cutoff
        ) -> Completion:
            said = await super().speak(context, params, ticket=ticket, seed=seed, cutoff=cutoff)
            odd: Any = 1.5
            return replace(said, num_tokens=odd) if ticket == 0 else said

    recorder = Recorder()
    solution = await solve(OddEngine([[ASKS, boxed(2)]]), preset(3), recorder)
    assert recorder.trajectories[0].outcome is Outcome.FAILED
    assert "no log can hold" in recorder.trajectories[0].error
    assert solution.votes == {2: 2000}


# --- a whole competition ---

PAPER = Choices(engine=EngineName.SCRIPTED, num_samples=3, paper=True)


@pytest.mark.slow
def test_a_competition_the_papers_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`rehearse --paper` on the examples: the built-in script's sums are right, and the log says how."""
    folder = tmp_path / "run"
    code = main(["rehearse", "--paper", "--engine", "scripted", "--num-samples", "3", "--out", str(folder)])
    assert code == 0
    recorded = read_run(folder)
    assert recorded.info["choices"]["paper"] is True
    assert recorded.info["preset"]["policy"]["stop_rule"] == "never"
    assert len(recorded.solutions) == 10
    assert set(recorded.turns["turn"]) == {0, 1, 2}
    right = recorded.solutions[~recorded.solutions["is_fallback"]]
    assert len(right) >= 5
    assert "10 problems" in capsys.readouterr().out


def test_a_run_goes_on_the_papers_way(tmp_path: Path) -> None:
    """What was chosen stands in run.json; a problem that is asked again gets the same verdict."""
    problems, folder = write_sums(tmp_path / "sums.jsonl", 3), tmp_path / "run"
    console = RunConsole(io.StringIO())
    whole = rehearse(Rehearsal(str(problems), PAPER), folder, console)
    lines = (folder / "solutions.jsonl").read_text().splitlines(keepends=True)
    (folder / "solutions.jsonl").write_text("".join(lines[:1]))
    assert read_task(Rehearsal, folder).choices == PAPER
    resumed = rehearse(read_task(Rehearsal, folder), folder, console, resume=True)
    assert (whole.num_correct, resumed.num_correct) == (3, 3)
    texts = [
        [[turn.completion.text for turn in trajectory.turns] for trajectory in attempt.trajectories]
        for attempt in read_logged_problems(folder)
    ]
    assert all(len(turns) == 3 for attempt in texts for turns in attempt)


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        (Choices(paper=True, answer_range=AnswerRange.UP_TO_999), "answer_range is 0-999"),
        (Choices(paper=True, epsilon=0.01), "epsilon is 0.01"),
    ],
)
def test_what_the_papers_way_leaves_no_choice_of_is_refused(choices: Choices, named: str) -> None:
    """Another range, an early stop."""
    with pytest.raises(ConfigError, match=named):
        choices.resolve()


def test_the_papers_way_never_stops_early() -> None:
    """Its preset says so, and keeps the chosen numbers."""
    resolved = Choices(paper=True, preset="numina").resolve()
    assert resolved.policy == Policy(48, stop_rule=StopRule.NEVER)
    assert resolved.rollout == Choices(preset="numina").resolve().rollout
