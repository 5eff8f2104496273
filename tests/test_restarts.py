"""The one policy for starting again what broke."""

import pytest

from numina_infer.core.errors import EngineError
from numina_infer.core.restarts import RestartPolicy, Restarts


def test_it_is_given_up_after_failures_in_a_row_and_a_success_forgets_them() -> None:
    """Whatever came between."""
    restarts = Restarts("the engine", RestartPolicy(max_starts=2))
    assert restarts.failed("broke", EngineError("no memory")) == "the engine broke: no memory"
    restarts.worked()
    restarts.failed("broke")
    assert not restarts.gives_up()
    restarts.failed("broke", ExceptionGroup("", [ExceptionGroup("", [ValueError()])]))
    assert (restarts.gives_up(), restarts.why) == (True, "ValueError()")


def test_without_a_limit_it_is_never_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """And every failure is logged."""
    restarts = Restarts("the zygote", RestartPolicy(max_starts=None))
    for _ in range(50):
        restarts.failed("died")
    assert not restarts.gives_up()
    assert caplog.messages == ["the zygote died"] * 50
