"""Run programs in one namespace, inside the child, and report how each ended.

The value of a program's last expression is printed, as a notebook shows it. The Numina kernel wraps the text of the
last line in print(), which breaks on an indented last line, an assignment or a comment; here the syntax tree decides.
The traceback of an error is shortened for the model as the Numina kernel does it: the heading, the program's own
frames and the message, without paths of the host and frames of sympy and numpy.

The namespace starts as the Numina kernel's header leaves it: `math`, `np` and `sp` are imported.
Every child seeds its random generators with 0, so that the same programs print the same.
"""

import ast
import builtins
import io
import linecache
import mmap
import random
import signal
import sys
import traceback
from collections.abc import Callable, Container
from contextlib import suppress
from types import CodeType, ModuleType

from numina_infer.core.records import ExecutionStatus
from numina_infer.sandbox.child.program_report import ProgramReport

_HEADER = {"math": "math", "np": "numpy", "sp": "sympy"}
_HEADING = "Traceback (most recent call last):\n"
_MAX_LINE = 200
_MAX_MESSAGE = 1000
_FRAMES_KEPT_FIRST = 3
_FRAMES_KEPT_LAST = 6
_SPARE_BYTES = 8 * 1024**2
"""Address space that is freed when memory has run out, so that the error can be reported."""
_print = print
"""Kept from before any program can replace it."""


def compile_program(source: str, filename: str) -> tuple[CodeType, CodeType | None]:
    """Compile `source` in two parts, to be run one after the other in the same namespace.

    The second is the last expression; it is None where no value is to be printed.

    Raises:
        SyntaxError: `source` is no Python; `compile` may also raise ValueError, RecursionError or MemoryError.
    """
    tree = ast.parse(source, filename)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or _calls_print(last.value):
        return compile(tree, filename, "exec", dont_inherit=True), None
    tree.body.pop()
    body = compile(tree, filename, "exec", dont_inherit=True)
    return body, compile(ast.Expression(last.value), filename, "eval", dont_inherit=True)


def _calls_print(expression: ast.expr) -> bool:
    """True if `expression` calls print itself, so that its value is just print's None."""
    calls = (node for node in ast.walk(expression) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)


class Runner:
    """The namespace and the output streams of one child."""

    def __init__(self) -> None:
        self._namespace = _new_main()
        self._filenames: list[str] = []
        self._stdout, self._stderr = _stream(1), _stream(2)
        _set_up_interpreter()

    def run(self, source: str) -> ProgramReport:
        """Run `source` and report its end; no exception of the program leaves this method."""
        sys.stdout, sys.stderr = self._stdout, self._stderr
        filename = f"<program {len(self._filenames) + 1}>" if self._filenames else "<program>"
        self._filenames.append(filename)
        report = self._guard(lambda: self._execute(source, filename))
        flushed = self._guard(_flush)
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm left ticking would go off in the next block
        return flushed if report.status is ExecutionStatus.OK else report

    def _execute(self, source: str, filename: str) -> None:
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        body, last = compile_program(source, filename)
        exec(body, self._namespace)  # noqa: S102 - running the program is what this process is for
        if last is not None:
            value = eval(last, self._namespace)  # noqa: S307 - as above
            if value is not None:
                _print(value)

    def _guard(self, action: Callable[[], None]) -> ProgramReport:
        spare = None
        with suppress(OSError, MemoryError):
            spare = mmap.mmap(-1, _SPARE_BYTES)
        try:
            action()
        except SystemExit as stop:
            if stop.code is None or stop.code == 0:
                return ProgramReport(ExecutionStatus.OK)
            return ProgramReport(ExecutionStatus.ERROR, f"SystemExit: {stop.code}"[:_MAX_MESSAGE])
        except BaseException as error:  # noqa: BLE001 - a program may raise anything
            if spare is not None:
                spare.close()
            is_memory = isinstance(error, MemoryError)
            return ProgramReport(ExecutionStatus.MEMORY if is_memory else ExecutionStatus.ERROR, self._describe(error))
        return ProgramReport(ExecutionStatus.OK)

    def _describe(self, error: BaseException) -> str:
        try:
            return _shortened_traceback(error, self._filenames)
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


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if not getattr(stream, "closed", True):
            stream.flush()


def _shortened_traceback(error: BaseException, filenames: Container[str]) -> str:
    """The traceback of `error`, with the frames whose file is in `filenames`."""
    all_frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    own = [frame for frame in all_frames if frame.filename in filenames]
    frames = [
        "".join(line[:_MAX_LINE] + "\n" for line in entry.splitlines())
        for entry in traceback.StackSummary.from_list(own).format()
    ]
    if len(frames) > _FRAMES_KEPT_FIRST + _FRAMES_KEPT_LAST:
        frames = [*frames[:_FRAMES_KEPT_FIRST], "  ...\n", *frames[-_FRAMES_KEPT_LAST:]]
    lines = [line[:_MAX_MESSAGE] for line in traceback.format_exception_only(error)]
    message = _without_paths("".join(lines).strip("\n"))[: 2 * _MAX_MESSAGE]
    return "".join([_HEADING, *frames, message]) if frames else message


def _without_paths(text: str) -> str:
    for folder in sorted({*sys.path, sys.prefix, sys.base_prefix}, key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(folder.rstrip("/") + "/", "")
    return text
