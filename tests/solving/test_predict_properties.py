"""Whatever breaks behind it, our `predict` returns nothing that any version of Kaggle's relay refuses."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.competitions.api_versions import API_VERSIONS
from numina_infer.competitions.gateways import make_predict
from numina_infer.competitions.mock.kaggle_evaluation import read_reply
from numina_infer.competitions.payloads import decode_reply, encode_reply
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import BankConfig, ContestConfig, Policy, RolloutConfig
from numina_infer.core.presets import Preset
from numina_infer.core.records import AnswerRange
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.log import RunLog
from numina_infer.solving.contest import Contest, Parts
from tests.examples import costly
from tests.mischief import KINDS, BadEngine, BadSandbox, Mischief

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SHAPES = (
    lambda name, value: pl.Series(name, [value]),
    lambda name, value: pl.DataFrame({name: [value]}),
    lambda name, value: pd.Series([value], name=name),
    lambda name, value: pd.DataFrame({name: [value]}),
    lambda _, value: value,
)


@dataclass(frozen=True)
class Call:
    """One call of a relay: which problem, in which shape, with what behind it, and how often at once."""

    place: int
    shape: int
    extra: tuple[str, ...]
    at_once: int


calls = st.builds(
    Call, st.integers(0, 3), st.integers(0, len(SHAPES) - 1), st.lists(texts, max_size=2).map(tuple), st.integers(1, 3)
)


@costly(60)
@given(
    problems=st.lists(st.tuples(texts.filter(bool) | st.integers(0, 2**40), texts), min_size=4, max_size=4),
    pattern=st.lists(calls, min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    answer_range=st.sampled_from(AnswerRange),
    limit_s=st.floats(30.0, 4000.0),
)
def test_predict_returns_nothing_that_any_version_refuses(
    problems: list[tuple[str | int, str]],
    pattern: list[Call],
    seed: int,
    kinds: list[str],
    answer_range: AnswerRange,
    limit_s: float,
) -> None:
    """One row, the id as it came, an int64 in range, the same one for the same problem, over the wire too."""
    mischief = Mischief(random.Random(seed), tuple(kinds))  # noqa: S311 (a test's luck)
    bank = BankConfig.of_limit(limit_s)
    preset = Preset(
        "numina",
        RolloutConfig(answer_range=answer_range),
        Policy(num_samples=3),
        ContestConfig(problem_time_s=600.0, bank=bank),
    )
    parts = Parts(preset, NUMINA, BadEngine(mischief), BadSandbox(mischief), clock=virtual_clock())
    given_answers: dict[tuple[str | int, str], set[int]] = {}
    with (
        TemporaryDirectory() as folder,
        RunLog(Path(folder)) as log,
        Contest(parts, log) as contest,
        ThreadPoolExecutor(3) as callers,
    ):
        predict = make_predict(contest.answer)
        for call in pattern:
            identifier, statement = problems[call.place]
            arguments = SHAPES[call.shape]("id", identifier), SHAPES[call.shape]("problem", statement), *call.extra
            for reply in callers.map(lambda ours: predict(*ours), [arguments] * call.at_once):
                answer = taken_answer(reply, identifier, answer_range)
                given_answers.setdefault((identifier, statement), set()).add(answer)
    assert all(len(answers) == 1 for answers in given_answers.values())


def taken_answer(reply: object, identifier: str | int, answer_range: AnswerRange) -> int:
    """The answer in `reply`, which every version takes."""
    assert isinstance(reply, pl.DataFrame)
    assert reply.columns == ["id", "answer"]
    assert reply.dtypes[1] == pl.Int64
    ((returned, answer),) = decoded = reply.rows()
    assert (returned, type(returned)) == (identifier, type(identifier))
    assert type(answer) is int
    assert 0 <= answer <= answer_range.largest
    arrived = decode_reply(encode_reply(reply))
    assert isinstance(arrived, pl.DataFrame)
    assert arrived.rows() == decoded
    for version in API_VERSIONS.values():
        assert read_reply(arrived, returned, version) == answer
    return answer
