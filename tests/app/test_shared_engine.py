"""One engine for several contests: opened once, and left well by a contest that ends in the middle."""

import threading
from collections.abc import Sequence
from pathlib import Path

from anyio.lowlevel import checkpoint
from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.composition import Backends, make_parts, open_contest, opened
from numina_infer.app.tasks import run_info
from numina_infer.core.config import SamplingParams
from numina_infer.core.events import Ended, Started
from numina_infer.core.ports import Cutoff, Decoder
from numina_infer.core.records import Completion, Part, Problem
from numina_infer.engines.scripted_engine import ScriptedEngine, sum_of_numbers
from numina_infer.runs.history import read_events, solved_problems
from numina_infer.runs.log import RunLog
from numina_infer.solving.contest import Contest, Parts
from tests.summing import summing_sandbox
from tests.waiting import wait_until
from tests.witness import Witness

PROBLEM = Problem("p", "Add 1 and 2.")
ENDLESS = Problem("q", "Say something without an end.")


def talk(context_text: str, seed: int) -> str:
    """The sum's program, or a very long text."""
    return "and on " * 100_000 if "without an end" in context_text else sum_of_numbers(context_text, seed)


class Slow(Witness):
    """An engine that takes many turns of the loop to hand over what it has."""

    async def write(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """One turn, and the time that it takes."""
        completion = await super().write(decoder, context, params, seed=seed, cutoff=cutoff)
        for _ in range(5000):
            await checkpoint()
        return completion


def make() -> tuple[Parts, Witness]:
    """Parts with an engine that counts its openings."""
    choices = Choices(engine=EngineName.SCRIPTED, num_samples=3, max_tokens=1_000_000)
    witness = Slow(ScriptedEngine(talk))
    return make_parts(choices, lambda _: None, backends=Backends(lambda *_: witness, summing_sandbox)), witness


def test_contests_after_one_another_share_an_engine(tmp_path: Path) -> None:
    """It is opened once, and each contest has its own log."""
    parts, witness = make()
    info = run_info(Choices(), parts.preset)
    with opened(parts) as (shared, engine):
        for name in ("one", "two"):
            quiet = Console(quiet=True)
            with (
                RunLog(tmp_path / name) as log,
                open_contest(shared, log, info, num_problems=1, solved={}, console=quiet) as contest,
            ):
                assert contest.answer(PROBLEM) == 3
        assert engine is witness
    assert witness.num_openings == 1
    assert all(PROBLEM in solved_problems(tmp_path / name) for name in ("one", "two"))


def test_a_contest_that_ends_in_the_middle_leaves_nothing_at_work(tmp_path: Path) -> None:
    """Every trajectory that started has its ending in the log before that closes; the engine is free for the next."""
    parts, witness = make()
    with opened(parts) as (shared, engine):
        with RunLog(tmp_path / "one") as log, Contest(shared, log) as contest:
            asking = threading.Thread(target=contest.answer, args=(ENDLESS,))
            asking.start()
            wait_until(lambda: engine.stats.num_running == 3)
        asking.join()
        events = list(read_events(tmp_path / "one"))
        starts = [event.index for event in events if isinstance(event, Started)]
        ends = [event.trajectory.index for event in events if isinstance(event, Ended)]
        assert sorted(starts) == sorted(ends) == [0, 1, 2]
        assert engine.stats.num_running == 0
        with RunLog(tmp_path / "two") as log, Contest(shared, log) as contest:
            assert contest.answer(PROBLEM) == 3
    assert witness.num_openings == 1
    assert ENDLESS not in solved_problems(tmp_path / "one")
