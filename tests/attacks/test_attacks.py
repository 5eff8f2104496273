"""Every attack program in every mode: on the highest rung, with Docker's capabilities, and on each lower rung.

Ours are in `programs`; recorded ones are added where the shared data is. Each run has its own namespaces and memory
disks (lab.py); after every attack one of thirty benign programs runs on the same slot and must give its right result.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from numina_infer.core.config import Mode
from tests.attacks.benign import BENIGN

pytestmark = [pytest.mark.attacks, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
RECORDED = Path(os.environ.get("NUMINA_SHARED", ROOT.parent / "shared")) / "attacks"
MODES = [*Mode]
NAMESPACES = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]

UNCOUNTED = {"thread_swarm"}
"""The kernel doesn't count root's threads: memory and time alone bound them, and they die with their program."""
LET_THROUGH = {
    "reader": set[str](),
    "landlock": UNCOUNTED,
    "seccomp": UNCOUNTED | {"read_submission", "kernel_memory"},  # files that the host's user may read
}

HELD_BY_LIMITS = {
    **dict.fromkeys(
        ("loop_infinite", "loop_c_bigpow", "sleep_ignoring_signals", "stop_itself", "many_cores", "close_everything"),
        "the kill at the limit",
    ),
    **dict.fromkeys(("endless_report", "alarm_storm", "traceback_hooks"), "the kill at the limit, or an error"),
    **dict.fromkeys(("stdout_flood", "stderr_flood", "print_flood", "huge_line"), "the bound on output"),
    **dict.fromkeys(("mem_bytes", "mem_list", "mem_numpy", "generator_bomb"), "the limit of address space"),
    **dict.fromkeys(("thread_bomb", "thread_swarm"), "the limit of address space, or of time"),
    **dict.fromkeys(("segv_coredump", "stack_overflow_c"), "the kernel; core files are off"),
    **dict.fromkeys(("atexit_hang", "exit0_silent", "sys_exit"), "the exit by os._exit, and the wait for it"),
    **dict.fromkeys(("stdin_input", "inherited_fds", "close_stdout"), "the child's three descriptors"),
    **dict.fromkeys(("smuggle_descriptor", "pickle_report", "other_reports", "gc_refs"), "the wire's design"),
    **dict.fromkeys(("say_broken", "flood_reports", "report_and_hang_up"), "the wire's design, and the kill"),
    **dict.fromkeys(("monkeypatch_builtins", "unicode_garbage"), "a child of its own; clean text"),
    **dict.fromkeys(("daemon_setsid", "fork_bomb"), "the sweep of orphans, if it is in time"),
    "message_queue": "the limit of message queues",
    "write_cwd": "the directory of its own, which is removed",
}
NOT_APPLICABLE = {
    "gpu_open": "no NVIDIA device is here",
    "import_torch": "no GPU is here, or no torch",
    "matplotlib_show": "nothing to hang on without a display; the backend draws into memory",
    "rlimit_raise": "the machine's root lacks CAP_SYS_RESOURCE",
    "x32_abi": "the kernel has no x32 calls",
    "int80_fork": "the kernel has no 32-bit calls",
    "net_listen": "the port is taken",
    "io_uring": "the kernel's administrator switched io_uring off",
    "kernel_doors": "the kernel's administrator closed all of them",
    "lock_memory": "the machine's limit of locked memory is lower",
    "open_by_handle": "the disk's root inode has another number, or CAP_DAC_READ_SEARCH is missing",
    "parent_environ": "no process with a secret can be looked into",
    "exec_in_place": "memory files can't be executed here",
    "vm_write_victim": "the address isn't mapped in the victim",
    "steal_descriptor": "the kernel has no pidfd_getfd",
    "terminal_inject": "the kernel has no TIOCSTI and no pseudo-terminals",
    "oom_adj": "the machine's root lacks CAP_SYS_RESOURCE",
    "kernel_memory": "nothing of it can be read here",
    "slow_victim": "the machine's root lacks the capabilities",
    "ptrace_victim": "Yama forbids it",
}


@dataclass(frozen=True)
class Result:
    """One attack in one mode."""

    attack: str
    mode: str
    faults: tuple[str, ...]
    output: str


@cache
def lab(*options: str) -> tuple[str, tuple[Result, ...]]:
    """The rung that a run of the lab was on, and its results."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("attacks need root, unshare and setpriv, so that they run where a success hurts nothing")
    folders = [str(folder) for folder in (PROGRAMS, RECORDED) if folder.is_dir()]
    programs = [word for folder in folders for word in ("--programs", folder)]
    python = [sys.executable, "-m", "tests.attacks.lab", "stage", *programs, *options]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["unshare", *NAMESPACES, *python],  # noqa: S607 - wherever it is
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in done.stderr:
        pytest.skip(f"no private namespaces here: {done.stderr}")
    assert done.returncode == 0, done.stderr[-2000:]
    head, *records = map(json.loads, done.stdout.splitlines())
    results = [Result(r["attack"], r["mode"], tuple(r["faults"]), r["output"]) for r in records]
    return head["rung"], tuple(results)


def all_names() -> set[str]:
    """Of all programs."""
    return {file.stem for folder in (PROGRAMS, RECORDED) for file in folder.glob("*.py")}


@pytest.mark.parametrize("privileges", [(), ("--docker",)], ids=["all-capabilities", "as-in-docker"])
@pytest.mark.parametrize(
    ("interpreter", "rungs"),
    [(("--open-interpreter",), {"uid"}), ((), {"uid", "reader"})],
    ids=["opened-interpreter", "interpreter-as-it-lies"],
)
def test_every_attack_is_contained_on_the_highest_rung(
    interpreter: tuple[str, ...], rungs: set[str], privileges: tuple[str, ...]
) -> None:
    """In all three modes; each is followed by a benign program that gives its right result.

    An interpreter below a private folder makes `reader` the highest rung of a machine, until the folder is opened.
    """
    rung, results = lab(*interpreter, *privileges)
    assert rung in rungs
    assert [result for result in results if result.faults] == []
    assert {(result.attack, result.mode) for result in results} == {
        (name, mode) for name in all_names() for mode in MODES
    }


@pytest.mark.parametrize("rung", LET_THROUGH)
def test_lower_rungs_contain_what_they_promise(rung: str) -> None:
    """With the ones above forbidden; the filter alone doesn't keep files from being read."""
    found, results = lab("--rung", rung, "--modes", "fresh")
    broken = {result.attack: result for result in results if result.faults}
    assert found == rung
    assert {name: result for name, result in broken.items() if name not in LET_THROUGH[rung]} == {}


def test_what_fails_on_the_lowest_rung_too_is_explained() -> None:
    """An attack shows something only if it succeeds somewhere; the others have a reason."""
    _, results = lab("--rung", "limits", "--modes", "fresh")
    failed = {result.attack: result.output for result in results if not result.faults}
    explained = HELD_BY_LIMITS.keys() | NOT_APPLICABLE.keys()
    assert {name: output for name, output in failed.items() if name not in explained} == {}
    assert len(failed) < len(results) * 2 / 3


def test_there_are_enough_of_both_kinds() -> None:
    """Twenty attacks of our own, thirty benign programs, none of them twice."""
    own = {file.stem for file in PROGRAMS.glob("*.py")}
    assert len(own) >= 20
    assert not own & {file.stem for file in RECORDED.glob("*.py")}
    assert len({code for code, _ in BENIGN}) == 30
