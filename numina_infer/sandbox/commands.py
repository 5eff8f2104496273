"""The commands `numina-infer sandbox check` and `numina-infer sandbox run`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

from numina_infer.core.config import LADDER, Mode, Rung, SandboxConfig, require_positive
from numina_infer.core.errors import ConfigError
from numina_infer.core.records import Execution, ExecutionStatus
from numina_infer.sandbox.host.forking_sandbox import Sandbox
from numina_infer.sandbox.host.ladder import RungInForce

EXIT_CODES = {Rung.UID: 0, Rung.READER: 10, Rung.LANDLOCK: 11, Rung.SECCOMP: 12, Rung.LIMITS: 13}
"""Of `sandbox check`, by the rung that holds here."""
PROGRAM_FAILED = 3


def check(console: Console) -> int:
    """Find the rung that holds here, print it, and return its exit code."""
    standing = anyio.run(_standing)
    ladder = Table("rung", "here", title="what holds programs back")
    for rung in LADDER:
        below = "not needed" if rung is not Rung.LIMITS else "only with --allow-limits-only"
        ladder.add_row(rung, "in force" if rung is standing.rung else standing.refused.get(rung, below))
    console.print(ladder)
    if standing.tried:
        attempts = Table("a program tried to", "and got", title=f"self-test of rung {standing.rung}")
        for name, result in standing.tried.items():
            attempts.add_row(name, result)
        console.print(attempts)
    return EXIT_CODES[standing.rung]


async def _standing() -> RungInForce:
    async with Sandbox(SandboxConfig(num_slots=1, lowest_rung=Rung.LIMITS)) as sandbox:
        return sandbox.standing


def run(
    files: Sequence[Path], console: Console, *, mode: Mode, timeout_s: float, as_json: bool, config: SandboxConfig
) -> int:
    """Run the programs in `files` as those of one trajectory, and print what a model would read.

    Returns:
        0 if all programs succeeded, else `PROGRAM_FAILED`.

    Raises:
        ConfigError: a file can't be read as text, or the limit isn't above 0.
        SandboxError: the sandbox doesn't start.
    """
    require_positive("timeout_s", timeout_s)
    executions = anyio.run(_run, [_read(file) for file in files], mode, timeout_s, config)
    for execution in executions:
        took = f"[{execution.status}, {execution.cpu_s:.3f} s of processor, {execution.wall_s:.3f} s]"
        lines = [json.dumps(asdict(execution))] if as_json else [execution.output, took]
        for line in filter(None, lines):
            console.out(line, highlight=False)
    return 0 if all(execution.status is ExecutionStatus.OK for execution in executions) else PROGRAM_FAILED


async def _run(programs: Sequence[str], mode: Mode, timeout_s: float, config: SandboxConfig) -> list[Execution]:
    async with Sandbox(config) as sandbox, sandbox.session(mode) as session:
        return [await session.execute(program, timeout_s=timeout_s) for program in programs]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is no UTF-8 text: byte {error.start} is {error.object[error.start]:#x}") from error
