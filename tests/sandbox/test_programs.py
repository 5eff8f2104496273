"""The result of one program: its status, and the text that the model reads."""

from collections.abc import AsyncIterator

import pytest

from numina_infer.core.config import Mode, Rung, SandboxConfig
from numina_infer.core.errors import ConfigError
from numina_infer.sandbox import ExecutionStatus, Sandbox

pytestmark = pytest.mark.anyio
OK, ERROR, TIMEOUT = ExecutionStatus.OK, ExecutionStatus.ERROR, ExecutionStatus.TIMEOUT
MEMORY, CRASHED, OUTPUT_LIMIT = ExecutionStatus.MEMORY, ExecutionStatus.CRASHED, ExecutionStatus.OUTPUT_LIMIT


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """One with the libraries that programs use."""
    async with Sandbox(SandboxConfig(num_slots=2, memory_bytes=512 * 1024**2, lowest_rung=Rung.LIMITS)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("print(6 * 7)", "42"),
        ("6 * 7", "42"),
        ("'abc'", "abc"),
        ("x = 5", ""),
        ("None", ""),
        ("", ""),
        ("# nothing but a comment", ""),
        ("if True:\n    x = 1\n    x", ""),
        ("print(1)  # and no more", "1"),
        ("[print(i) for i in range(2)]", "0\n1"),
        ("x = sp.symbols('x')\nsp.solve(x**2 - 2, x)", "[-sqrt(2), sqrt(2)]"),
        ("np.arange(3).sum() + math.gcd(4, 6)", "5"),
        ("from __future__ import annotations\ndef f(x: nowhere): return x\nf(3)", "3"),
        ("import sys\nprint(1)\nsys.exit(0)", "1"),
        ("exit()", ""),
        ("import os\nprint(1)\nos._exit(0)", "1"),
        ("import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('kept')", "kept"),
        ("import sys\nprint('aside', file=sys.stderr)\n1", "1"),
        ("len(str(2**20000))", "6021"),
        ("class A: pass\nA.__module__", "__main__"),
    ],
)
async def test_a_good_program_gives_what_it_prints_and_its_last_value(
    sandbox: Sandbox, code: str, output: str
) -> None:
    """The last expression is printed unless it prints itself or is None; nothing else is added."""
    execution = await sandbox.execute(code, timeout_s=20)
    assert (execution.status, execution.output) == (OK, output)


@pytest.mark.parametrize(
    ("code", "status", "last_line"),
    [
        ("1 / 0", ERROR, "ZeroDivisionError: division by zero"),
        ("input()", ERROR, "EOFError: EOF when reading a line"),
        ("x = = 3", ERROR, "SyntaxError: invalid syntax"),
        ("  indented", ERROR, "IndentationError: unexpected indent"),
        ("import sys\nsys.exit(1)", ERROR, "SystemExit: 1"),
        ("import sys\nsys.exit('bye')", ERROR, "SystemExit: bye"),
        ("raise KeyboardInterrupt", ERROR, "KeyboardInterrupt"),
        ("def f(n): return f(n + 1)\nf(0)", ERROR, "RecursionError: maximum recursion depth exceeded"),
        ("class E(BaseException):\n    def __str__(self): 1 / 0\nraise E", ERROR, "E: <exception str() failed>"),
        ("bytearray(100 * 2**30)", MEMORY, "MemoryError"),
        ("kept = []\nwhile True: kept.append(bytearray(10**7))", MEMORY, "MemoryError"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", CRASHED, "Process crashed (SIGSEGV)."),
        ("import os\nos._exit(3)", CRASHED, "Process exited with code 3."),
    ],
)
async def test_a_bad_program_says_what_went_wrong(
    sandbox: Sandbox, code: str, status: ExecutionStatus, last_line: str
) -> None:
    """A failure is data: a status, and a last line that names it, below what was printed before."""
    execution = await sandbox.execute(f"{code}\n", timeout_s=20)
    assert execution.status is status
    assert execution.output.splitlines()[-1] == last_line


@pytest.mark.parametrize("code", ["\0", "x = 1\0", "'\ud800'", "(" * 10_000, "x = " + "9 + " * 10_000 + "9", "🤷"])
async def test_a_strange_text_is_a_failed_program(sandbox: Sandbox, code: str) -> None:
    """Nothing that stands in a program's text makes the sandbox raise."""
    execution = await sandbox.execute(code, timeout_s=20)
    assert execution.status in {OK, ERROR, MEMORY, CRASHED}
    assert (execution.output == "") == (execution.status is OK)


async def test_a_program_of_ten_megabytes_runs(sandbox: Sandbox) -> None:
    """A program's length is no concern of the wire."""
    execution = await sandbox.execute(f"x = {'a' * 10_000_000!r}\nlen(x)", timeout_s=20)
    assert (execution.status, execution.output) == (OK, "10000000")


async def test_a_traceback_shows_the_programs_frames_only(sandbox: Sandbox) -> None:
    """Printed text comes first; frames of libraries and paths of the host are left out."""
    code = "print('before')\ndef f(text):\n    return sp.sympify(text)\nf('1+*')"
    execution = await sandbox.execute(code, timeout_s=20)
    assert execution.status is ERROR
    lines = execution.output.splitlines()
    assert lines[:6] == [
        "before",
        "Traceback (most recent call last):",
        '  File "<program>", line 4, in <module>',
        "    f('1+*')",
        '  File "<program>", line 3, in f',
        "    return sp.sympify(text)",
    ]
    assert "SympifyError" in lines[6]
    assert "site-packages" not in execution.output


async def test_an_import_error_hides_the_hosts_paths(sandbox: Sandbox) -> None:
    """Python puts the module's path into this message."""
    execution = await sandbox.execute("from sympy import nothing", timeout_s=20)
    expected = "ImportError: cannot import name 'nothing' from 'sympy' (sympy/__init__.py)"
    assert execution.output.endswith(expected)


@pytest.mark.parametrize("loop", ["while True: pass", "10**10**8", "import signal\nsignal.pause()"])
async def test_a_program_that_does_not_end_is_killed_at_its_limit(sandbox: Sandbox, loop: str) -> None:
    """In Python, in C and asleep; what it had printed is kept."""
    execution = await sandbox.execute(f"print('so far')\n{loop}", timeout_s=0.5)
    assert (execution.status, execution.output) == (TIMEOUT, "so far\nTimed out after 0.5 seconds.")


async def test_signals_do_not_save_a_program(sandbox: Sandbox) -> None:
    """One that ignores and blocks every signal is killed all the same."""
    code = (
        "import signal\n"
        "for number in set(range(1, 32)) - {9, 19}: signal.signal(number, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "while True: pass"
    )
    assert (await sandbox.execute(code, timeout_s=0.5)).status is TIMEOUT


@pytest.mark.parametrize("fd", [1, 2])
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_flood_of_output_is_stopped_and_bounded(sandbox: Sandbox, fd: int, mode: Mode) -> None:
    """Each stream is kept up to a bound, and the program is stopped."""
    async with sandbox.session(mode) as session:
        execution = await session.execute(f"import os\nwhile True: os.write({fd}, b'A' * 65536)", timeout_s=20)
    assert execution.status is OUTPUT_LIMIT
    assert len(execution.stdout if fd == 1 else execution.stderr) == 16 * 1024
    assert execution.output.endswith("Stopped: more than 16384 bytes of output.")


async def test_too_much_output_is_an_output_limit_even_if_the_program_ends(sandbox: Sandbox) -> None:
    """The status doesn't depend on who is faster, the program's end or the kill."""
    execution = await sandbox.execute("print('x' * 20_000)", timeout_s=20)
    assert execution.status is OUTPUT_LIMIT


async def test_output_just_within_the_bound_is_whole(sandbox: Sandbox) -> None:
    """The bound itself may be reached."""
    execution = await sandbox.execute("print('x' * (16 * 1024 - 1))", timeout_s=20)
    assert (execution.status, len(execution.stdout)) == (OK, 16 * 1024)


async def test_output_is_cleaned(sandbox: Sandbox) -> None:
    """Lone surrogates, NUL, escapes, bidi controls and bytes that are no UTF-8 do no harm."""
    code = "import os\nprint('a\\x00b\\ud800c\\x1b[31mred\\u202e')\nos.write(1, b'\\xff')\n'end'"
    execution = await sandbox.execute(code, timeout_s=20)
    assert (execution.status, execution.output) == (OK, "ab\\ud800cred\n\ufffdend")


@pytest.mark.parametrize(
    "code",
    [
        "import atexit, time\natexit.register(lambda: time.sleep(60))",
        "import time\nclass D:\n    def __del__(self): time.sleep(60)\nd = D()",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
    ],
)
async def test_nothing_left_running_holds_the_result_up(sandbox: Sandbox, code: str) -> None:
    """atexit, finalisers and threads are not waited for."""
    assert (await sandbox.execute(code, timeout_s=20)).status is OK


async def test_a_child_that_holds_the_pipes_does_not_hold_the_result_up(unlocked: Sandbox) -> None:
    """On the rung on which programs can fork at all."""
    code = "import os, time\nif os.fork() == 0: time.sleep(60)"
    assert (await unlocked.execute(code, timeout_s=20)).status is OK


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_program_holds_no_descriptor_but_the_three(sandbox: Sandbox, mode: Mode) -> None:
    """Nothing of the host or the zygote is inherited in the range that programs use."""
    async with sandbox.session(mode) as session:
        code = "import os\n[fd for fd in range(1024) if os.path.exists(f'/proc/self/fd/{fd}')]"
        execution = await session.execute(code, timeout_s=20)
    assert execution.output == "[0, 1, 2]"


async def test_a_program_starts_in_an_empty_directory_of_its_own(unlocked: Sandbox) -> None:
    """With limits alone it may write there within its bounds, and the next program finds nothing of it."""
    code = "import os\nopen('a.txt', 'w').write('x')\nprint(os.listdir('.'), os.getcwd())"
    first, second = [await unlocked.execute(code, timeout_s=20) for _ in range(2)]
    assert first.output.startswith("['a.txt']")
    assert second.output.startswith("['a.txt']")
    assert first.output != second.output
    large = await unlocked.execute("open('large', 'wb').write(bytes(10**7))", timeout_s=20)
    assert large.output.endswith("OSError: [Errno 27] File too large")


async def test_the_directory_of_a_locked_program_is_read_only(sandbox: Sandbox) -> None:
    """It can be listed and is empty."""
    execution = await sandbox.execute("import os\nprint(os.listdir('.'))\nopen('a.txt', 'w')", timeout_s=20)
    assert execution.output.startswith("[]\n")
    assert execution.output.endswith("OSError: [Errno 30] Read-only file system: 'a.txt'")


async def test_randomness_is_the_same_in_every_run(sandbox: Sandbox) -> None:
    """random, numpy and hashing start alike, whatever ran before."""
    code = "import random\n(random.random(), float(np.random.rand()), hash('a'), list({'x', 'y', 'z'}))"
    first, second = [await sandbox.execute(code, timeout_s=20) for _ in range(2)]
    assert first.status is OK
    assert first.output == second.output


async def test_a_program_poisons_no_later_one(sandbox: Sandbox) -> None:
    """Its changes to modules end with it."""
    await sandbox.execute("import builtins, sympy\nbuiltins.sum = sympy.factorint = lambda *a: 666", timeout_s=20)
    execution = await sandbox.execute("import sympy\n(sum([1, 2]), sympy.factorint(6))", timeout_s=20)
    assert execution.output == "(3, {2: 1, 3: 1})"


@pytest.mark.parametrize("mode", [Mode.SESSION, Mode.REPLAY])
async def test_all_programs_of_a_session_find_the_libraries(sandbox: Sandbox, mode: Mode) -> None:
    """Also those that run behind a death, with what is restored."""
    async with sandbox.session(mode) as session:
        await session.execute("x = sp.symbols('x')", timeout_s=20)
        await session.execute("import os\nos._exit(1)", timeout_s=20)
        execution = await session.execute("sp.diff(x**2, x).subs(x, int(np.int64(21)))", timeout_s=20)
    assert (execution.status, execution.output) == (OK, "42")


async def test_a_fresh_program_can_not_forge_its_status(sandbox: Sandbox) -> None:
    """Not even by writing «ok» over its own report: the kernel's word counts."""
    forge = (
        "import os, sys\n"
        "frame = sys._getframe()\n"
        "while frame is not None:\n"
        "    job = frame.f_locals.get('job')\n"
        "    if hasattr(job, 'report'):\n"
        "        job.report[:3] = b'ok\\n'\n"
        "        print('forged')\n"
        "    frame = frame.f_back\n"
    )
    endless = await sandbox.execute(f"{forge}while True: pass", timeout_s=1.0)
    failed = await sandbox.execute(f"{forge}os._exit(1)", timeout_s=20)
    assert "forged" in endless.stdout
    assert (endless.status, failed.status) == (TIMEOUT, CRASHED)


async def test_a_program_that_ends_at_its_deadline_has_one_consistent_ending(sandbox: Sandbox) -> None:
    """Whichever comes first, the result is whole: all of the output, or a time-out."""
    code = "import time\ntime.sleep(0.1)\nprint('end')"
    for step in range(20):
        execution = await sandbox.execute(code, timeout_s=0.1 + step / 1000)
        if execution.status is OK:
            assert execution.output == "end"
        else:
            assert execution.status is TIMEOUT
            assert "Timed out after" in execution.output


async def test_times_are_measured(sandbox: Sandbox) -> None:
    """Wall time runs while a program sleeps, processor time doesn't."""
    execution = await sandbox.execute("import time\ntime.sleep(0.5)", timeout_s=20)
    assert execution.wall_s >= 0.5
    assert 0 < execution.cpu_s < 0.5


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_limit_that_is_none_is_refused(sandbox: Sandbox, timeout_s: float) -> None:
    """A wall time must be finite and above 0."""
    with pytest.raises(ConfigError, match="timeout_s"):
        await sandbox.execute("1", timeout_s=timeout_s)
