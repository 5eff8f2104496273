"""The clocks: a scaled one counts every real second several times, for its loop and for threads that wait."""

from concurrent.futures import wait

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from drills.scaled_clock import scaled_clock
from numina_infer.core.clock import Callers, Clock, virtual_clock
from numina_infer.core.errors import ConfigError


def test_under_a_scaled_clock_hours_pass_in_moments() -> None:
    """The loop's time is the clock's, and what sleeps for three hours wakes up after them."""
    clock = scaled_clock(1e5)
    with start_blocking_portal(backend_options=dict(clock.backend_options)) as portal:
        before = portal.call(anyio.current_time)
        portal.call(anyio.sleep, 3 * 3600.0)
        after = portal.call(anyio.current_time)
    assert after - before >= 3 * 3600.0
    assert before <= after <= clock.now()
    assert not clock.is_virtual


def test_a_thread_waits_for_a_scaled_hour_as_long_as_the_loop_does() -> None:
    """And for any other clock's as long as it says."""
    assert scaled_clock(60.0).real_s(3600.0) == 60.0
    assert Clock().real_s(5.0) == virtual_clock().real_s(5.0) == 5.0


def test_a_clock_that_stands_still_is_refused() -> None:
    """The error names the value, and carries it."""
    with pytest.raises(ConfigError, match="speed is 0") as raised:
        scaled_clock(0)
    assert (raised.value.setting, raised.value.value) == ("speed", 0)


def test_virtual_time_stands_still_unless_the_loop_works_for_somebody_who_waits() -> None:
    """It passes before the callers may come and behind the last of them, and waits for one that isn't heard yet."""
    frozen = list[bool]()
    callers = Callers(frozen.append)
    for step in (callers.open, callers.come, callers.heard, callers.come, callers.heard, callers.leave, callers.leave):
        step()
    callers.close()
    assert frozen == [True, True, False, True, False, False, True, False]


def test_a_loop_that_waits_in_frozen_time_is_woken_when_time_goes_on() -> None:
    """Any thread wakes it, without a call of its own to the loop; waking a closed loop does nothing."""
    clock = virtual_clock()
    clock.freeze(True)
    with start_blocking_portal(backend_options=dict(clock.backend_options)) as portal:
        slept = portal.start_task_soon(anyio.sleep, 3600.0)
        assert not wait([slept], 0.2).done
        clock.freeze(False)
        slept.result(20)
        assert clock.now() == 3600.0
    clock.freeze(True)
    clock.freeze(False)
