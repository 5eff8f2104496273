"""Our `predict`, against every shape of argument a relay may send."""

from types import FunctionType

import numpy as np
import pandas as pd
import polars as pl
import pytest

from numina_infer.competitions.api_versions import Predict
from numina_infer.competitions.gateways import KaggleEvaluationGateway, make_predict
from numina_infer.core.errors import GatewayError
from numina_infer.core.records import Problem

SHAPES = {
    "polars series": (pl.Series("id", ["007"]), pl.Series("problem", ["1+1?"])),
    "polars frames": (pl.DataFrame({"id": ["007"]}), pl.DataFrame({"question": ["1+1?"]})),
    "pandas series": (pd.Series(["007"]), pd.Series(["1+1?"])),
    "pandas frames": (pd.DataFrame({"id": ["007"]}, index=[4]), pd.DataFrame({"problem": ["1+1?"]}, index=[4])),
    "arrays": (np.array(["007"]), np.array(["1+1?"])),
    "bare values": ("007", "1+1?"),
}


def echo(asked: list[Problem]) -> Predict:
    """A `predict` that answers 52 and keeps what it was asked."""

    def answer(problem: Problem) -> int:
        asked.append(problem)
        return 52

    return make_predict(answer)


@pytest.mark.parametrize(("id_", "problem"), SHAPES.values(), ids=SHAPES)
def test_every_shape_of_argument_is_read(id_: object, problem: object) -> None:
    """Series, frames, arrays and bare values of either library all say the same."""
    asked: list[Problem] = []
    reply = echo(asked)(id_, problem)
    assert asked == [Problem("007", "1+1?")]
    assert isinstance(reply, pl.DataFrame)
    assert reply.to_dict(as_series=False) == {"id": ["007"], "answer": [52]}
    assert reply.dtypes == [pl.String, pl.Int64]


@pytest.mark.parametrize("id_", [pl.Series("id", [7]), pd.Series([7]), np.int64(7), 7])
def test_integer_ids_go_back_as_integers(id_: object) -> None:
    """A relay that inferred integers compares with integers."""
    asked: list[Problem] = []
    reply = echo(asked)(id_, "1+1?")
    assert asked == [Problem("7", "1+1?")]
    assert isinstance(reply, pl.DataFrame)
    assert reply["id"].to_list() == [7]
    assert reply["id"].dtype == pl.Int64


def test_what_comes_behind_the_statement_is_ignored() -> None:
    """A local relay hands over the references too; they must not reach the answering side."""
    asked: list[Problem] = []
    echo(asked)(pl.Series(["a"]), pl.Series(["?"]), pl.Series(["52"]))
    assert asked == [Problem("a", "?")]


def test_predict_is_a_plain_function_of_that_name() -> None:
    """Kaggle's server knows its listeners by name and, from 0.9.0 on, takes plain functions alone."""
    given: list[Predict] = []
    KaggleEvaluationGateway(given.append).serve(lambda _: 52)
    assert [(type(predict), predict.__name__) for predict in given] == [(FunctionType, "predict")]


@pytest.mark.parametrize("id_", [pl.Series("id", ["a", "b"]), pl.Series("id", [], dtype=pl.String)])
def test_more_or_less_than_one_problem_a_call_is_a_gateway_error(id_: pl.Series) -> None:
    """One reply for two problems would be a guess."""
    asked: list[Problem] = []
    with pytest.raises(GatewayError, match="one problem a call"):
        echo(asked)(id_, pl.Series(["?"]))
    assert asked == []


def test_text_is_exact_to_the_last_character() -> None:
    """Numpy's own text arrays drop NULs at the end."""
    asked: list[Problem] = []
    echo(asked)("a\0", " 1+1?\n\0")
    assert asked == [Problem("a\0", " 1+1?\n\0")]


def test_a_float_is_no_answer() -> None:
    """Not even 52.0: the core's answers are integers, and anything else is a fault to see at once."""
    with pytest.raises(TypeError):
        make_predict(lambda _: 52.0)("a", "?")  # type: ignore[arg-type, return-value] # on purpose


def test_answers_are_integers_of_64_bits() -> None:
    """For any kind of integer as an answer."""
    reply = make_predict(lambda _: np.int32(52))("a", "?")  # type: ignore[arg-type, return-value] # on purpose
    assert isinstance(reply, pl.DataFrame)
    assert reply["answer"].dtype == pl.Int64
