"""What goes wrong with processes: signals, servers that die or stop, descriptors, disks, and Kaggle's side."""

import os
import resource
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from drills.fault import Drill, Expected, LogState
from drills.process_play import ProcessFault, play
from drills.processes import DrilledProcesses
from drills.seen import Reply, Seen
from drills.server import HANG

_STRIKES, _PASSES = 3, 5
"""The problem at which a fault strikes, and the one at which it is over, where it is."""
_SLOW = 0.25
"""At which a problem takes longer than the client's patience with a silent server."""
_SEPARATE = ("--api=kaggle-evaluation", "--separate")


def _signal(number: int, processes: DrilledProcesses) -> None:
    os.kill(processes.pid, number)


def _to_server(number: int, processes: DrilledProcesses) -> None:
    os.kill(processes.servers[0].pid, number)


def _kill(name: str, processes: DrilledProcesses) -> None:
    os.kill(processes.below(name), signal.SIGKILL)


def _take_descriptors(processes: DrilledProcesses) -> None:
    """Leave it as many as it has open."""
    _, most = resource.prlimit(processes.pid, resource.RLIMIT_NOFILE)
    num_open = len(list(Path(f"/proc/{processes.pid}/fd").iterdir()))
    resource.prlimit(processes.pid, resource.RLIMIT_NOFILE, (num_open, most))


def _give_descriptors(processes: DrilledProcesses) -> None:
    _, most = resource.prlimit(processes.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(processes.pid, resource.RLIMIT_NOFILE, (most, most))


def _fill_disk(processes: DrilledProcesses) -> None:
    """Let no file of its grow beyond what the log is now."""
    size = (processes.run / "trajectories.jsonl").stat().st_size
    resource.prlimit(processes.pid, resource.RLIMIT_FSIZE, (size, size))


def _remove_log(processes: DrilledProcesses) -> None:
    shutil.rmtree(processes.run)


def _in_between(reply: Reply, _seen: Seen) -> bool:
    return _STRIKES <= reply.number <= _PASSES


def _nothing(_reply: Reply, _seen: Seen) -> bool:
    return False


def _ends(how: str) -> Expected:
    return Expected(ends=how)


PROCESS_FAULTS = (
    ProcessFault(
        "sigterm",
        "The process is told to end in the middle of a problem.",
        {_STRIKES: partial(_signal, signal.SIGTERM)},
        _ends("SIGTERM"),
    ),
    ProcessFault(
        "sigint",
        "Somebody presses Ctrl-C in the middle of a problem.",
        {_STRIKES: partial(_signal, signal.SIGINT)},
        _ends("exit code 130"),
    ),
    ProcessFault(
        "sigkill",
        "The process is killed in the middle of a problem.",
        {_STRIKES: partial(_signal, signal.SIGKILL)},
        _ends("SIGKILL"),
    ),
    ProcessFault(
        "zygote-killed",
        "The real sandbox's zygote is killed.",
        {_STRIKES: partial(_kill, "zygote")},
        Expected(says_once=("zygote died",)),
    ),
    ProcessFault(
        "no-descriptors",
        "For two problems the process gets no descriptor more than it has.",
        {_STRIKES: _take_descriptors, _PASSES: _give_descriptors},
        Expected(max_fallbacks=2, says_at_least_once=("Too many open files",)),
    ),
    ProcessFault(
        "replica-killed",
        "One of two servers is killed.",
        {_STRIKES: partial(_to_server, signal.SIGKILL)},
        Expected(says_once=("lost a turn and isn't well",)),
        num_servers=2,
    ),
    ProcessFault(
        "replica-ends",
        "One of two servers ends in good order.",
        {_STRIKES: partial(_to_server, signal.SIGTERM)},
        Expected(says_once=("lost a turn and isn't well",)),
        num_servers=2,
    ),
    ProcessFault(
        "replica-hangs",
        "One of two servers is healthy, takes requests and sends nothing more.",
        {_STRIKES: partial(_to_server, HANG)},
        Expected(says_once=("gave no token for",)),
        num_servers=2,
        speed=_SLOW,
    ),
    ProcessFault(
        "replica-stopped",
        "One of two servers is stopped: it keeps its connections and does nothing.",
        {_STRIKES: partial(_to_server, signal.SIGSTOP)},
        num_servers=2,
    ),
    ProcessFault(
        "server-returns",
        "The only server is killed, and another is there on the same socket two problems later.",
        {_STRIKES: partial(_to_server, signal.SIGKILL), _PASSES: lambda processes: processes.serve(0)},
        Expected(max_fallbacks=2, says_once=("lost a turn and isn't well", "is back")),
    ),
    ProcessFault(
        "relay-drops",
        "Kaggle's relay loses connections and asks twice.",
        {},
        Expected(says=("the gateway asked for a problem again",)),
        arguments=(*_SEPARATE, "--nasty=drop", "--nasty=ask-twice"),
    ),
    ProcessFault(
        "relay-killed",
        "Kaggle's relay is killed in the middle of a problem.",
        {_STRIKES: partial(_kill, "mock.relay")},
        _ends("exit code 1"),
        arguments=_SEPARATE,
    ),
    ProcessFault(
        "file-size-limit",
        "No file may grow beyond what the log has in the middle.",
        {_STRIKES: _fill_disk},
        Expected(says_once=("File too large",), log=LogState.PART),
    ),
    ProcessFault(
        "run-removed",
        "The run folder is removed while the command runs.",
        {_STRIKES: _remove_log},
        Expected(says_once=("was removed while the run went on",), log=LogState.GONE),
    ),
)
_TOUCHES = {"no-descriptors": _in_between, "server-returns": _in_between}


def process_drills() -> tuple[Drill, ...]:
    """One of each."""
    return tuple(_drill(fault, _TOUCHES.get(fault.name, _nothing)) for fault in PROCESS_FAULTS)


def _drill(fault: ProcessFault, touches: Callable[[Reply, Seen], bool]) -> Drill:
    return Drill(fault.name, fault.story, fault.expected, touches, touches, partial(play, fault))
