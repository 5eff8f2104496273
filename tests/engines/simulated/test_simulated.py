"""The simulated engine: its time is its costs', its batch in closed form is its batch step by step."""

import json
import math
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quick_contest import QuickContest, Setting
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import ContestConfig, Policy, SamplingParams, StopRule
from numina_infer.core.engine_config import SimulatedConfig
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Cutoff
from numina_infer.core.presets import get_preset
from numina_infer.core.records import Completion, FinishReason, Problem
from numina_infer.engines.scripts import Cue
from numina_infer.engines.simulated.machine_costs import MachineCosts, costs_of_layout, read_costs, t4_costs
from numina_infer.engines.simulated.running_batch import RunningBatch, Sequence, Stalls
from numina_infer.engines.simulated.samples import SampledAuthor, read_samples
from numina_infer.engines.simulated.simulated_engine import Passage, SimulatedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import packaged_path
from numina_infer.sandbox.simulated_sandbox import SimulatedSandbox
from numina_infer.solving.contest import Contest, Parts
from tests.examples import costly

COSTS = MachineCosts(base_s=0.02, sequence_s=0.001, token_s=1e-5, prefill_s=0.0005, kv_tokens=2_000)


def step_by_step(costs: MachineCosts, turns: list[tuple[int, int]]) -> list[float]:
    """When each of `turns` (context, tokens) ends if they begin together and each step is taken singly."""
    now, left, ends = 0.0, dict(enumerate(turns)), {}
    now += costs.prefill_s * sum(context for context, _ in turns)
    written = 0
    while left:
        live = sum(context + written for context, _ in left.values())
        # The closed form takes steps for continuous: a step costs what its middle does.
        now += costs.base_s + costs.sequence_s * len(left) + costs.token_s * (live + len(left) / 2)
        written += 1
        for index in [index for index, (_, tokens) in left.items() if tokens == written]:
            ends[index] = now
            del left[index]
    return [ends[index] for index in range(len(turns))]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 60)), min_size=1, max_size=8))
def test_the_closed_form_is_the_sum_of_the_steps(turns: list[tuple[int, int]]) -> None:
    """Whatever lengths decode together."""
    batch = RunningBatch(COSTS)
    sequences = [Sequence(index, context, tokens) for index, (context, tokens) in enumerate(turns)]
    for sequence in sequences:
        batch.join(sequence, sequence.context)
    ends: dict[Sequence, float] = {}
    while batch.running:
        at = batch.next_at
        ends |= dict.fromkeys(batch.advance(at), at)
    assert [ends[sequence] for sequence in sequences] == pytest.approx(step_by_step(COSTS, turns))
    assert batch.num_written == pytest.approx(sum(tokens for _, tokens in turns))


@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=8),
    st.lists(st.floats(0.01, 30), max_size=6),
)
@costly(60)
def test_looking_at_a_batch_more_often_changes_nothing_and_the_cache_is_never_overfull(
    turns: list[tuple[int, int]], looks: list[float]
) -> None:
    """A full cache preempts the highest ticket, which is computed again; every sequence ends all the same."""
    batch = RunningBatch(COSTS)
    for index, (context, tokens) in enumerate(turns):
        batch.join(Sequence(index, context, tokens), context)
    num_ended, times = 0, sorted(looks)
    while batch.running or batch.waiting:
        at = min([batch.next_at, *times[:1]])
        times = [time for time in times if time > at]
        num_ended += len(batch.advance(at))
        assert batch.live <= COSTS.kv_tokens + 1e-6 or len(batch.running) == 1
    assert num_ended == len(turns)


def test_stalls_only_add_time_and_come_back_to_the_same_work() -> None:
    """Work and time are each other's inverse, and stalls are the same for the same seed."""
    stalls, again = (Stalls(10.0, every_s=50.0, lasting_s=20.0, seed=3) for _ in range(2))
    for work in (0.5, 40.0, 1000.0, 200.0):
        at = stalls.time(work)
        assert at >= 10.0 + work
        assert stalls.work(at) == pytest.approx(work)
        assert again.time(work) == at
    assert stalls.time(1000.0) > 1010.0
    assert stalls.time(math.inf) == math.inf


def test_a_passage_takes_as_long_as_its_tokens_and_is_cut_in_proportion() -> None:
    """Four thousand tokens of a short text: at a quarter of the time a quarter of the text is there."""
    clock = virtual_clock()
    slow = MachineCosts(base_s=1.0, sequence_s=0, token_s=0, prefill_s=0, kv_tokens=10**6)

    class Talker:
        name = "talker"

        def passage(self, cue: Cue) -> Passage:
            return Passage("abcd" * 99, 4000)

    written: list[Completion] = []

    async def write() -> None:
        config = SimulatedConfig(max_model_len=10**6)
        async with SimulatedEngine(Talker(), slow, config, now=clock.now) as engine, engine.slot(0) as decoder:
            for seconds in (1000.0, 5000.0):
                cutoff = Cutoff(anyio.current_time() + seconds)
                params = SamplingParams(max_tokens=10**6)
                written.append(await decoder.generate(["?"], params, seed=0, cutoff=cutoff))

    anyio.run(write, backend_options=dict(clock.backend_options))
    cut, whole = written
    assert (cut.text, cut.num_tokens, cut.finish_reason) == ("abcd" * 25, 1000, FinishReason.ABORT)
    assert (whole.text, whole.num_tokens, whole.finish_reason) == ("abcd" * 99, 4000, FinishReason.EOS)
    assert clock.now() == pytest.approx(5000.0)


def test_two_t4_cost_what_their_data_sheet_says() -> None:
    """The winner's weights: 25 ms a step before any sequence, and the KV of the arithmetic in `fit`."""
    costs = t4_costs()
    assert costs.base_s == pytest.approx(0.0253, abs=0.0005)
    assert costs.token_s == pytest.approx(1.02e-6, rel=0.01)
    assert costs.kv_tokens == pytest.approx(39_400, rel=0.01)
    assert t4_costs("numina-7b-gptq", num_gpus=2).num_replicas == 1


def test_a_plane_through_a_probes_steps_gives_its_costs_back() -> None:
    """Base, sequence and token are found again."""
    grid = [(batch, context) for batch in (1, 4, 16) for context in (64, 512)]
    steps = [
        {
            "batch": batch,
            "context": context,
            "step_s": 0.05 + 0.002 * batch + 1e-6 * batch * context,
            "tokens_per_s": 1,
        }
        for batch, context in grid
    ]
    layout = {"decode": steps, "prefill": [{"tokens": 100, "seconds": 0.5}], "kv_tokens": 9000, "servers": [[], []]}
    costs = costs_of_layout(layout, "here")
    found = (costs.base_s, costs.sequence_s, costs.token_s, costs.prefill_s, costs.kv_tokens, costs.num_replicas)
    assert found == pytest.approx((0.05, 0.002, 1e-6, 0.005, 4500, 2))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layouts": []}', '{"layouts": [{"decode": [], "prefill": []}]}'])
def test_what_is_no_probe_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    """And with what to do."""
    file = tmp_path / "probe.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"probe\.json.*(numina-infer probe|run it again)"):
        read_costs(file)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 1: no row of samples"),
        ('{"problem": "p", "answers": ["1"], "tokens": [1%s]}' % ("0" * 400), "line 1: no row of samples"),
        ('{"problem": "p", "answers": ["1"], "tokens": ["many"]}', "line 1: no row of samples"),
        ('{"problem": "p", "answers": ["1"], "tokens": [1e300]}', "it must be 0 to 2"),
        ('{"problem": "p", "answers": ["1"], "tokens": [1, 2]}', "1 answers and 2 lengths"),
        ('{"problem": " ", "answers": ["1"], "tokens": [1]}', "empty problem"),
        ('{"problem": "p", "answers": [], "tokens": []}', "line 1|0 answers"),
        ('{"problem": "p", "answers": ["1"], "tokens": [-1]}', "length is -1"),
    ],
)
def test_samples_that_cannot_be_used_are_named(row: str, message: str, tmp_path: Path) -> None:
    """The line and what is wrong with it."""
    file = tmp_path / "samples.jsonl"
    file.write_text(row + "\n")
    with pytest.raises(ConfigError, match=message):
        read_samples(file)


def test_a_simulation_repeats_itself_to_the_byte(tmp_path: Path) -> None:
    """Same samples, same costs, same seed: the same run log."""
    for name in ("one", "two"):
        play(tmp_path / name, Policy(num_samples=20, width=8, epsilon=0.01), num_problems=6)
    logs = [(tmp_path / name / "trajectories.jsonl").read_bytes() for name in ("one", "two")]
    assert logs[0] == logs[1]
    assert json.loads(logs[0].splitlines()[0])["event"] == "opened"


def play(folder: Path, policy: Policy, num_problems: int) -> list[tuple[dict[int, int], float]]:
    """Votes and times of a simulated contest on the library's own loop."""
    rows = read_samples(packaged_path("samples.jsonl"))[:num_problems]
    preset = get_preset("t4x2")
    chosen = Parts(
        preset=type(preset)("numina", preset.rollout, policy, ContestConfig(problem_time_s=1e5, seed=5)),
        fmt=NUMINA,
        engine=SimulatedEngine(
            SampledAuthor(rows, name="rows"), t4_costs(), SimulatedConfig(), now=(clock := virtual_clock()).now
        ),
        sandbox=SimulatedSandbox(3),
        clock=clock,
    )
    played = []
    with RunLog(folder) as log, Contest(chosen, log) as contest:
        for number, row in enumerate(rows):
            solution = contest.solve(Problem(str(number), row.problem))
            played.append((dict(solution.votes), solution.solved_at))
    return played


def test_the_quick_contest_of_the_benchmark_has_the_votes_and_times_of_the_librarys_own(tmp_path: Path) -> None:
    """All samples to their end: the same votes; the times differ by less than a hundredth."""
    policy = Policy(num_samples=30, stop_rule=StopRule.NEVER)
    ours = play(tmp_path, policy, num_problems=5)
    rows = [(row, 0) for row in read_samples(packaged_path("samples.jsonl"))[:5]]
    setting = Setting(t4_costs(), policy, ContestConfig(problem_time_s=1e5))
    quick = [(dict(one.solution.votes), one.solution.solved_at) for one in QuickContest(setting, rows, seed=5).play()]
    assert [votes for votes, _ in quick] == [votes for votes, _ in ours]
    assert [at for _, at in quick] == pytest.approx([at for _, at in ours], rel=0.01)
