"""Errors of settings."""

from collections.abc import Callable

import pytest

from numina_infer.core.config import Policy, SamplingParams, SandboxConfig, StopRule, require_choice
from numina_infer.core.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "setting", "value"),
    [
        (lambda: SamplingParams(temperature=-1.0), "temperature", -1.0),
        pytest.param(lambda: SamplingParams(temperature=10**400), "temperature", 10**400, id="beyond floats"),
        (lambda: Policy(num_samples=0), "num_samples", 0),
        (lambda: Policy(num_samples=2**63), "num_samples", 2**63),
        (lambda: SandboxConfig(kill_grace_s=0.0), "kill_grace_s", 0.0),
        (lambda: require_choice("rule", "soon", StopRule), "rule", "soon"),
    ],
)
def test_an_error_carries_the_setting_and_its_value(make: Callable[[], object], setting: str, value: object) -> None:
    """For whoever shows it in another way than by its text."""
    with pytest.raises(ConfigError, match=setting) as raised:
        make()
    assert (raised.value.setting, raised.value.value) == (setting, value)
