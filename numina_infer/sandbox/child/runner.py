"""Run programs in one namespace, inside the child, and report how each ended.

The namespace starts as the Numina kernel's header leaves it: `math`, `np` and `sp` are imported.
Every child seeds its random generators with 0, so that the same programs print the same.
"""

import builtins
import io
import linecache
import mmap
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

from numina_infer.sandbox.child import trace
from numina_infer.sandbox.child.echo import compile_program
from numina_infer.sandbox.child.program_report import Ending, ProgramReport

_HEADER = {"math": "math", "np": "numpy", "sp": "sympy"}
_SPARE_BYTES = 8 * 1024**2
"""Address space that is freed when memory has run out, so that the error can be reported."""
_print = print
"""Kept from before any program can replace it."""


class Runner:
    """The namespace and the output streams of one child."""

    def __init__(self) -> None:
        self._namespace = _new_main()
        self._filenames: list[str] = []
        self._stdout, self._stderr = _stream(1), _stream(2)
        _set_up_interpreter()

    def run(self, source: str) -> ProgramReport:
        """Run `source` and report its end; no exception of the program leaves this method."""
        started = time.process_time()
        sys.stdout, sys.stderr = self._stdout, self._stderr
        filename = f"<program {len(self._filenames) + 1}>" if self._filenames else "<program>"
        self._filenames.append(filename)
        report = self._guard(lambda: self._execute(source, filename))
        flushed = self._guard(_flush)
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm left ticking would go off in the next block
        report = flushed if report.ending is Ending.OK else report
        return replace(report, cpu_s=time.process_time() - started)

    def _execute(self, source: str, filename: str) -> None:
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        program = compile_program(source, filename)
        exec(program.body, self._namespace)  # noqa: S102 - running the program is what this process is for
        if program.last is not None:
            value = eval(program.last, self._namespace)  # noqa: S307 - as above
            if value is not None:
                _print(value)

    def _guard(self, action: Callable[[], None]) -> ProgramReport:
        spare = _spare()
        try:
            action()
        except SystemExit as stop:
            return _of_exit(stop)
        except BaseException as error:  # noqa: BLE001 - a program may raise anything
            if spare is not None:
                spare.close()
            ending = Ending.MEMORY if isinstance(error, MemoryError) else Ending.ERROR
            return ProgramReport(ending, self._describe(error))
        return ProgramReport(Ending.OK)

    def _describe(self, error: BaseException) -> str:
        try:
            return trace.render(error, self._filenames)
        except BaseException:  # noqa: BLE001 - the exception's class may be the program's own
            return type(error).__name__


def _new_main() -> dict[str, object]:
    module = ModuleType("__main__")
    for name, library in _HEADER.items():
        if library in sys.modules:
            setattr(module, name, sys.modules[library])
    sys.modules["__main__"] = module
    return vars(module)


def _stream(fd: int) -> io.TextIOWrapper:
    """Unbuffered, as with `python -u`: what a program printed before it is killed is in the pipe."""
    raw = io.FileIO(fd, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _set_up_interpreter() -> None:
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # site's own would close stdin for the blocks to come
    sys.argv = ["<program>"]
    sys.dont_write_bytecode = True
    sys.set_int_max_str_digits(0)  # digit sums of large powers are everyday olympiad work; time is limited anyway
    random.seed(0)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(0)
    if "sympy" in sys.modules:
        import sympy.core.random

        sympy.core.random.seed(0)


def _spare() -> mmap.mmap | None:
    try:
        return mmap.mmap(-1, _SPARE_BYTES)
    except (OSError, MemoryError):
        return None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if not getattr(stream, "closed", True):
            stream.flush()


def _of_exit(stop: SystemExit) -> ProgramReport:
    if stop.code is None or stop.code == 0:
        return ProgramReport(Ending.OK)
    return ProgramReport(Ending.ERROR, f"SystemExit: {stop.code}"[: trace.MAX_MESSAGE])
