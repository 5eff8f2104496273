"""The names that a search varies, and their values: `0.2:1.0` is a range, `0.4,0.8` a list.

Only settings that change the texts are searched. The number of samples doesn't: votes of fewer samples are worked out
from the same completions.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from numina_infer.app.choices import Choices
from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = str | int | float

_WHOLE = ("top_k", "max_tokens", "max_turns")
NAMES = ("temperature", "top_p", "min_p", *_WHOLE, "format")
"""Fields of `Choices` that can be searched."""
_STEP = 0.01
_MOST_STEPS = 10_000
_LARGEST = 10**9
"""The largest whole number: more tokens than any text has."""
_DIGITS = 6
"""Sums of steps are rounded to these, so that 0.9 isn't 0.9000000000000001."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """The values that one name can have."""

    values: tuple[Value, ...]
    step: float | None = None
    """Between the values of a range, whole or not; None for a list."""

    def distribution(self) -> "BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.step is None:
            return CategoricalDistribution(self.values)
        kind: Any = IntDistribution if isinstance(self.step, int) else FloatDistribution
        return cast("BaseDistribution", kind(self.values[0], self.values[-1], step=self.step))


@dataclass(frozen=True, slots=True)
class Setting:
    """One value for each name that is searched."""

    values: tuple[tuple[str, Value], ...] = ()

    def applied(self, choices: Choices) -> Choices:
        """`choices` with these values."""
        changes: dict[str, Any] = dict(self.values)
        return replace(choices, **changes)

    @property
    def folder_name(self) -> str:
        """Where its runs lie: the same for the same setting."""
        return ",".join(f"{name}={value}" for name, value in self.values)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.values)


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The dimensions of a search, as they are spelled: `SearchSpace({"temperature": "0.2:1.0", "max_turns": "2,4"})`.

    Raises:
        ConfigError: a name can't be searched, or its values can't be read.
    """

    spelled: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in self.spelled:
            require(name in NAMES, f"{name!r} can't be searched; choose of {', '.join(NAMES)}")
        require(bool(self.spelled) and self.size > 0, "there is nothing to search; name a value and its range")

    @property
    def dimensions(self) -> Mapping[str, Dimension]:
        """By name, in one order however they were given."""
        return {name: _dimension(name, self.spelled[name]) for name in NAMES if name in self.spelled}

    @property
    def size(self) -> int:
        """How many settings there are."""
        return math.prod(len(dimension.values) for dimension in self.dimensions.values())

    @property
    def settings(self) -> Iterator[Setting]:
        """Each of them."""
        named = [[(name, value) for value in one.values] for name, one in self.dimensions.items()]
        return (Setting(values) for values in itertools.product(*named))

    def setting(self, values: Mapping[str, Value]) -> Setting:
        """The setting of values that Optuna drew."""
        drawn = {name: values[name] for name in NAMES if name in self.spelled}
        return Setting(tuple((name, round(v, _DIGITS) if isinstance(v, float) else v) for name, v in drawn.items()))

    def within(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Those of `values` that lie in the space."""
        return {name: values[name] for name, one in self.dimensions.items() if values.get(name) in one.values}

    def require_usable(self, choices: Choices) -> None:
        """Raise `ConfigError` where `choices` don't take a value of a list, or an end of a range."""
        for name, one in self.dimensions.items():
            for value in one.values if one.step is None else (one.values[0], one.values[-1]):
                Setting(((name, value),)).applied(choices).resolve()


def _dimension(name: str, text: str) -> Dimension:
    if ":" in text:
        return _range(name, text)
    values = tuple(_value(name, part.strip(), text) for part in text.split(","))
    require(len(set(values)) == len(values), f"{name} is {text!r}, which has a value twice; leave one out")
    return Dimension(values)


def _range(name: str, text: str) -> Dimension:
    require(name != "format", f"format is {text!r}; give a list of names, such as numina,chat")
    parts: list[Any] = [_value(name, part.strip(), text) for part in text.split(":")]
    require(len(parts) in {2, 3}, f"{name} is {text!r}; give LOW:HIGH or LOW:HIGH:STEP")
    low, high, step = (*parts, 1 if name in _WHOLE else _STEP)[:3]
    require(low < high, f"{name} is {text!r}; give the lower end first")
    require(step > 0, f"{name} is {text!r}; the step must be above 0")
    num_steps = (high - low) / step
    require(num_steps < _MOST_STEPS, f"{name} is {text!r}, which has too many values; give a larger STEP")
    leads = abs(num_steps - round(num_steps)) < 1e-6
    require(leads, f"{name} is {text!r}; the step must lead from one end to the other")
    # A whole number that is rounded stays one.
    return Dimension(tuple(round(low + number * step, _DIGITS) for number in range(round(num_steps) + 1)), step)


def _value(name: str, part: str, text: str) -> Value:
    if name == "format":
        return part
    try:
        value = int(part) if name in _WHOLE else float(part)
    except ValueError as error:
        kind = "whole numbers" if name in _WHOLE else "numbers"
        raise ConfigError(f"{name} is {text!r}; give {kind}, as a list 1,2 or a range LOW:HIGH") from error
    require(abs(value) <= _LARGEST, f"{name} is {text!r}; give finite numbers of {_LARGEST:,} at most")
    return value
