"""How a search's values are spelled, and what comes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.app.choices import Choices
from numina_infer.core.errors import ConfigError
from numina_infer.lab.tune.search_space import SearchSpace, Setting


def test_a_range_and_a_list() -> None:
    """All values, in order, without the sums of floating point."""
    space = SearchSpace({"max_turns": "2,4", "temperature": "0.1:0.7:0.2"})
    assert space.size == 8
    assert [one.values for one in space.settings][:3] == [
        (("temperature", 0.1), ("max_turns", 2)),
        (("temperature", 0.1), ("max_turns", 4)),
        (("temperature", 0.3), ("max_turns", 2)),
    ]
    assert SearchSpace({"top_k": "1:5"}).dimensions["top_k"].values == (1, 2, 3, 4, 5)
    assert SearchSpace({"temperature": "0.2:1.0"}).size == 81


@given(st.integers(0, 20), st.integers(1, 20), st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_every_value_of_a_range_can_be_drawn_and_is_a_value(low: int, steps: int, step: float) -> None:
    """What Optuna draws is one of the values to the bit, so that equal settings are equal."""
    start = low * step
    space = SearchSpace({"temperature": f"{start!r}:{start + steps * step!r}:{step}"})
    values = [dict(setting.values)["temperature"] for setting in space.settings]
    assert len(values) == steps + 1
    for number, value in enumerate(values):
        drawn = start + number * step
        assert space.setting({"temperature": drawn}).values == (("temperature", value),)


def test_a_setting_is_put_into_the_choices() -> None:
    """And names a folder."""
    setting = Setting((("temperature", 0.6), ("format", "chat")))
    applied = setting.applied(Choices(preset="collect"))
    assert (applied.temperature, applied.format, applied.preset) == (0.6, "chat", "collect")
    assert setting.folder_name == "temperature=0.6,format=chat"
    assert str(setting) == "temperature 0.6, format chat"


def test_of_other_values_those_that_lie_in_the_space_are_kept() -> None:
    """The preset's own come first where they can."""
    space = SearchSpace({"temperature": "0.6:1.0:0.1", "max_turns": "2,3"})
    assert space.within({"temperature": 0.8, "max_turns": 4, "top_p": 1.0}) == {"temperature": 0.8}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("width", "2,4", "can't be searched"),
        ("temperature", "hot", "give numbers"),
        ("temperature", "", "give numbers"),
        ("temperature", "nan", "finite"),
        ("temperature", "0:1e7", "larger STEP"),
        ("top_k", f"1{'0' * 400},5", "at most"),
        ("temperature", "0.5,0.5", "twice"),
        ("temperature", "1.0:0.2", "lower end first"),
        ("temperature", "0.2:1.0:0.3", "the step must lead"),
        ("temperature", "0.2:1.0:0", "above 0"),
        ("temperature", "0:1:2:3", "LOW:HIGH"),
        ("max_turns", "2.5", "whole numbers"),
        ("format", "numina:chat", "list of names"),
    ],
)
def test_bad_values_are_named(name: str, text: str, told: str) -> None:
    """With what to give instead."""
    with pytest.raises(ConfigError, match=told):
        SearchSpace({name: text})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("temperature", "-1,0.5", "temperature is -1.0"),
        ("top_p", "0.5:1.5", "top_p is 1.5"),
        ("max_turns", "0:3", "max_turns is 0"),
        ("format", "numina,none", "'none'"),
    ],
)
def test_values_that_nothing_takes_are_named(name: str, text: str, told: str) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError, match=told):
        SearchSpace({name: text}).require_usable(Choices())


def test_nothing_is_no_space() -> None:
    """A search has something to search."""
    with pytest.raises(ConfigError, match="nothing to search"):
        SearchSpace({})
