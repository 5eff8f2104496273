"""What a server's log says; the lines have vLLM's shapes and our own words."""

from pathlib import Path

import pytest

from numina_infer.engines.vllm.server_place import cause, read_log, without_prefix

API = "(APIServer pid=11) INFO 11-24 07:10:01 [server.py:42]"
CORE = "(EngineCore_DP0 pid=12) ERROR 11-24 07:10:02 [core.py:842]"
MASK = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
TRACEBACK = ["Traceback (most recent call last):", '  File "core.py", line 3, in run', "    raise it", "    ^^^^^"]


def core(*lines: str) -> list[str]:
    """Lines of the engine's own process."""
    return [f"{CORE} {line}" for line in lines]


def test_the_cause_is_the_exception_before_the_one_that_hides_it() -> None:
    """It stands in another process' traceback."""
    lines = [
        f"{API} starting",
        *core(*TRACEBACK, "torch.OutOfMemoryError: no room for 2.00 GiB on GPU 0"),
        "(APIServer pid=11) " + TRACEBACK[0],
        "(APIServer pid=11) " + MASK,
    ]
    assert cause(lines) == "torch.OutOfMemoryError: no room for 2.00 GiB on GPU 0"


def test_what_was_raised_last_is_the_cause_of_a_chain() -> None:
    """Python prints the first of a chain first."""
    lines = core(*TRACEBACK, "KeyError: 'a'", "During handling of it, another one:", *TRACEBACK, "ValueError: bad b")
    assert cause([*lines, MASK, "SystemExit: 1"]) == "ValueError: bad b"


@pytest.mark.parametrize(
    "line",
    [
        "ValueError: too long",
        "Exception: call failed",
        "zmq.error.ZMQError: in use",
        "KeyboardInterrupt",
        "SystemExit: 1",
    ],
)
def test_exceptions_of_every_name_are_found(line: str) -> None:
    """Bare or behind the prefix of a process, with and without a text."""
    assert cause([line]) == cause(["(Worker_TP0 pid=13) " + line]) == cause(core(line)) == line


def test_what_is_wrong_with_a_field_stands_in_the_line_after_a_validation_error() -> None:
    """Pydantic's way."""
    said = "  Value error, quantization half isn't for this GPU [type=value_error]"
    lines = [TRACEBACK[0], "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig", said]
    assert cause(lines).endswith("1 validation error for ModelConfig: " + said.strip())


def test_a_wrong_argument_is_the_cause() -> None:
    """The parser's own line, behind its usage."""
    line = "api_server.py: error: unrecognized arguments: --no-such-thing"
    assert cause(["usage: api_server.py [-h]", line]) == line


@pytest.mark.parametrize("lines", [[], [""], [f"{API} all is well"], [MASK], ["an Error: of nobody"], ["Errors: 0"]])
def test_a_log_without_a_cause_names_none(lines: list[str]) -> None:
    """Better none than a wrong one; a mask alone is none."""
    assert cause(lines) == "its log names no cause"


@pytest.mark.parametrize("prefix", ["", f"{API} ", "(Worker_TP0 pid=13) "])
def test_a_line_is_shown_without_its_prefix(prefix: str) -> None:
    """Process, level, time and place tell nobody how far a start is."""
    assert without_prefix(f"{prefix}loading the weights") == "loading the weights"


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    """Whatever bytes it holds; and one that isn't there is empty."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * 300_000 + b"\n\xff\nValueError: the last\n")
    lines = read_log(log)
    assert len("\n".join(lines)) < 300_000
    assert cause(lines) == "ValueError: the last"
    assert read_log(tmp_path / "none") == []


def test_a_killed_engine_core_is_told_by_the_line_that_hides_all_else() -> None:
    """The kernel's killer writes no traceback."""
    mask = "RuntimeError: Engine core initialization failed. See root cause above."
    line = f"{mask} Failed core proc(s): {{'EngineCore_DP0': -9}}"
    assert "killed by signal 9" in cause(["(EngineCore pid=3) INFO 11-24 08:00:00 [x.py:1] loading", line])


def test_exceptions_with_names_of_other_kinds_are_found() -> None:
    """Such as the one that Triton raises on a T4."""
    line = "triton.runtime.errors.OutOfResources: out of resource: shared memory, required: 98304"
    assert cause(["(EngineCore pid=3) ERROR 11-24 08:00:00 [core.py:1] " + line]) == line


@pytest.mark.parametrize("python", ["/usr/bin/python", "/home/me/my environments/python"])
def test_an_environment_without_vllm_says_so(python: str) -> None:
    """Python's own line has no exception's name."""
    said = f"{python}: Error while finding module specification for 'vllm.x' (No module named 'vllm')"
    assert cause([said, f"{python}: No module named vllm"]) == f"{python}: No module named vllm"
