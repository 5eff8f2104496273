"""Runs attacks in a process with namespaces of its own, in which a success would hurt nothing.

`stage` is started as root under `unshare` with new mount, pid, net, ipc and uts namespaces. It covers /tmp, /var/tmp,
/dev/shm and, if asked, the closed folders above the interpreter with empty memory disks, limits memory, drops
capabilities if asked, and goes on as `run`, which attacks a sandbox and prints one JSON object a program.
Only what is recorded here is judged by the tests.
"""

import argparse
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from numina_infer.core.config import Mode, Rung, SandboxConfig
from numina_infer.core.errors import SandboxError
from numina_infer.sandbox import Execution, ExecutionStatus, Sandbox
from tests.attacks.benign import BENIGN

DOCKER_CAPABILITIES = (
    "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,"
    "audit_write,setfcap"
)
TIMEOUT_S = 1.5
WALL_FACTOR = 1.5
GRACE_S = 2.5
"""A kill may take two seconds to be confirmed."""
MEMORY_BYTES = 320 * 1024**2
LAB_MEMORY_BYTES = 6 * 1024**3
AFTERLIFE_S = 0.3
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_COVERED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - they are covered so that nothing of the machine is in them
_GOOD_ENDS = {
    "clean": {ExecutionStatus.OK, ExecutionStatus.ERROR},
    "error": {ExecutionStatus.ERROR, ExecutionStatus.MEMORY, ExecutionStatus.CRASHED},
    "timeout": {ExecutionStatus.TIMEOUT},
    "contained": set(ExecutionStatus),
}


def stage(options: argparse.Namespace) -> None:
    """Cover what is to be covered, give up what is to be given up, become `run`."""
    up_loopback()
    closed = [str(folder) for folder in closed_folders()] if options.open_interpreter else []
    kept = {Path(sys.base_prefix), Path(sys.prefix), Path.cwd(), *map(Path, options.programs)}
    kept |= {Path(path) for path in sys.path if Path(path).is_dir()}
    with kept_mounts(kept, [*_COVERED, *closed]):
        for folder in (*_COVERED, *closed):
            mode = "0755" if folder in closed else "1777"
            mount("-t", "tmpfs", "-o", f"size=64m,mode={mode}", "none", folder)
    resource.setrlimit(resource.RLIMIT_AS, (LAB_MEMORY_BYTES, LAB_MEMORY_BYTES))
    kept_capabilities = ",".join(f"+{name}" for name in DOCKER_CAPABILITIES.split(","))
    drop = ["--bounding-set", f"-all,{kept_capabilities}", "--inh-caps", "-all", "--no-new-privs"]
    docker = ["setpriv", *drop] if options.docker else []
    command = [*docker, sys.executable, "-m", "tests.attacks.lab", "run", *sys.argv[2:]]
    os.execvp(command[0], command)  # noqa: S606 - our own module


def closed_folders() -> list[Path]:
    """The folders above the interpreter that other users can't enter."""
    return [parent for parent in reversed(Path(sys.base_prefix).parents) if not parent.stat().st_mode & 0o001]


def mount(*arguments: str) -> None:
    """Call mount."""
    subprocess.run(["mount", *arguments], check=True)  # noqa: S607 - wherever it is


@contextmanager
def kept_mounts(kept: set[Path], covers: list[str]) -> Iterator[None]:
    """Put aside what of `kept` is to be covered in the block, and back afterwards."""
    hidden = sorted(path for path in kept if any(path.is_relative_to(cover) for cover in covers))
    aside = Path("/mnt")
    mount("-t", "tmpfs", "none", str(aside))
    for number, path in enumerate(hidden):
        (aside / str(number)).mkdir()
        mount("--bind", str(path), str(aside / str(number)))
    yield
    for number, path in enumerate(hidden):
        if not path.exists():
            path.mkdir(parents=True)
            mount("--move", str(aside / str(number)), str(path))


def up_loopback() -> None:
    """Without it nothing listens in a new net namespace."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


@dataclass(frozen=True)
class Attack:
    """One program and what is expected of it."""

    name: str
    kind: str
    code: str


class Targets:
    """The targets of attacks: files, a process with a secret, listeners."""

    def __init__(self, stack: ExitStack) -> None:
        self.host_dir, self.public_dir = Path("/tmp/host"), Path("/tmp/public")  # noqa: S108 - a disk of our own
        for folder in (self.host_dir, self.public_dir):
            folder.mkdir(mode=0o755)
        self.victim = self._prepare()
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 50051)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(self.public_dir / "host.sock"))
        unix.listen()
        self._listeners = (tcp, unix)
        for listener in self._listeners:
            listener.setblocking(False)
        (self.public_dir / "host.sock").chmod(0o777)
        os.environ["HOST_SECRET"] = "HOST_SECRET"  # noqa: S105 - a decoy
        self._files = self.files()
        self.processes = living()

    def _prepare(self) -> "subprocess.Popen[bytes]":
        (self.host_dir / "submission.csv").write_text("id,answer\n")
        (self.host_dir / "private.txt").write_text("secret")
        (self.host_dir / "private.txt").chmod(0o600)
        command = [sys.executable, "-c", "import time; time.sleep(3600)"]
        victim = subprocess.Popen(command, env={"HOST_SECRET": "HOST_SECRET"})
        (self.public_dir / "victim.pid").write_text(str(victim.pid))
        return victim

    def recover(self, zygote: int) -> None:
        """Undo what an attack did, as far as the next one would be taken for it."""
        for pid in living() - self.processes - {zygote}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in map(Path, self.files().keys() - self._files.keys()):
            path.rmdir() if path.is_dir() else path.unlink()
        self.processes.discard(self.victim.pid)
        self.victim.kill()
        self.victim.wait()
        self.host_dir.mkdir(exist_ok=True)
        self.victim = self._prepare()
        self.processes.add(self.victim.pid)
        self._files = self.files()

    def files(self) -> dict[str, tuple[bytes | None, int]]:
        """All files that an attack could have made or changed."""
        folders = (self.host_dir, self.public_dir, *map(Path, _COVERED))
        found = [path for folder in folders for path in _on_own_disk(folder) if "numina-infer-" not in str(path)]
        return {str(p): (p.read_bytes() if p.is_file() else None, p.lstat().st_mode) for p in found}

    def harm(self) -> list[str]:
        """The harm that was done to the targets."""
        harm = ["the victim died"] if self.victim.poll() is not None else []
        harm += ["a listener was reached" for listener in self._listeners if _accepts(listener)]
        if self.files() != self._files:
            harm.append(f"files changed: {sorted(self.files().items() ^ self._files.items())[:3]}"[:300])
        return harm


def _on_own_disk(folder: Path) -> Iterator[Path]:
    """Everything below `folder`, but not what lies on another disk: a checkout that was put back, say."""
    disk = folder.stat().st_dev
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if (Path(root) / name).lstat().st_dev == disk]
        yield from (Path(root) / name for name in (*folders, *files))


def _accepts(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def living() -> set[int]:
    """All processes of this namespace, zombies not counted."""
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_living(entry)}


def _is_living(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def read_attacks(folders: list[str], targets: Targets) -> list[Attack]:
    """The programs in `folders` with the targets' names filled in."""
    attacks = []
    for file in sorted((file for folder in folders for file in Path(folder).glob("*.py")), key=lambda file: file.name):
        code = file.read_text()
        kind = next(line.split(":")[1].strip() for line in code.splitlines() if line.startswith("# kind:"))
        code = code.replace("@HOST_DIR@", str(targets.host_dir)).replace("@PUBLIC_DIR@", str(targets.public_dir))
        attacks.append(Attack(file.stem, kind, code))
    return attacks


async def run(options: argparse.Namespace) -> None:
    """Attack, and print what came of it."""
    with ExitStack() as stack:
        targets = Targets(stack)
        attacks = read_attacks(options.programs, targets)
        rung = Rung(options.rung) if options.rung else None
        async with Sandbox(
            SandboxConfig(
                num_slots=1,
                memory_bytes=MEMORY_BYTES,
                wall_factor=WALL_FACTOR,
                highest_rung=rung or Rung.UID,
                lowest_rung=rung or Rung.SECCOMP,
            )
        ) as sandbox:
            print_json({"rung": sandbox.standing.rung, "refused": dict(sandbox.standing.refused)})
            for mode in map(Mode, options.modes):
                for number, attack in enumerate(attacks):
                    await one(sandbox, targets, mode, attack, number)


async def one(sandbox: Sandbox, targets: Targets, mode: Mode, attack: Attack, number: int) -> None:
    """Run one attack, look at what it did, and run a benign program on the same slot."""
    zygote = zygote_pid(sandbox)
    began = time.monotonic()
    async with sandbox.session(mode) as session:
        if mode is not Mode.FRESH:
            await session.execute("earlier = 1", timeout_s=20)
            began = time.monotonic()
        try:
            execution = await session.execute(attack.code, timeout_s=TIMEOUT_S)
        except SandboxError as error:
            execution = Execution(ExecutionStatus.CRASHED, f"the sandbox failed: {error}")
        took = time.monotonic() - began
    faults = judge(attack, execution, took)
    if zygote_pid(sandbox) != zygote:
        faults.append("the zygote died")
    faults += await afterlife(targets.processes | {zygote_pid(sandbox)})
    faults += targets.harm()
    if faults:
        targets.recover(zygote_pid(sandbox))
    code, expected = BENIGN[number % len(BENIGN)]
    after = await sandbox.execute(code, timeout_s=20)
    if after.output != expected:
        faults.append(f"the next program gave {after.output[:100]!r} instead of {expected!r}")
    print_json(
        {
            "attack": attack.name,
            "mode": mode,
            "faults": faults,
            "status": execution.status,
            "output": execution.output[-200:],
            "took_s": round(took, 3),
        }
    )


def judge(attack: Attack, execution: Execution, took: float) -> list[str]:
    """The faults in an attack's result."""
    faults = [word for word in ("HIT", "the sandbox failed") if word in execution.output]
    if execution.status not in _GOOD_ENDS[attack.kind]:
        faults.append(f"status {execution.status} for kind {attack.kind}")
    if took > TIMEOUT_S * WALL_FACTOR + GRACE_S:
        faults.append(f"took {took:.1f} s")
    if len(execution.output) > 40_000:
        faults.append(f"{len(execution.output)} characters came back")
    return faults


async def afterlife(expected: set[int]) -> list[str]:
    """Processes that are still there some time after a result."""
    with anyio.move_on_after(AFTERLIFE_S):
        while living() - expected:
            await anyio.sleep(0.01)
        return []
    return [f"alive: {sorted(living() - expected)}"]


def zygote_pid(sandbox: Sandbox) -> int:
    """Of the sandbox's zygote; 0 if there is none."""
    server = sandbox._opened()._server
    return 0 if server is None or not server.is_alive else server._zygote.pid


def print_json(record: dict[str, object]) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Stage or run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phase", choices=["stage", "run"])
    parser.add_argument("--programs", action="append", required=True)
    parser.add_argument("--modes", nargs="+", default=[*Mode])
    parser.add_argument("--rung", default="")
    parser.add_argument("--docker", action="store_true")
    parser.add_argument("--open-interpreter", action="store_true")
    options = parser.parse_args()
    if options.phase == "stage":
        stage(options)
    else:
        anyio.run(run, options)


if __name__ == "__main__":
    main()
