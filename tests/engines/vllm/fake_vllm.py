"""A fake of vLLM's server for tests: the stand-in as a process, started as vLLM is, with a child as vLLM has.

`fake_python(folder)` makes the "interpreter" for `Launch.python`: it starts this file whatever module it is asked for.
How each start goes stands in `folder`: the files `1`, `2`, … hold a `Fate` for the first, second, … start, and the
last one for all that follow.
"""

import argparse
import os
import shlex
import signal
import sys
from enum import StrEnum
from pathlib import Path

import anyio

import numina_infer
from drills.engines.stand_in import Mood, StandIn

_ROOT = Path(numina_infer.__file__).parents[1]


class Fate(StrEnum):
    """What becomes of a start."""

    SERVES = "serves"
    HANGS = "hangs"
    """It is healthy and sends the beginning of every text, never the end."""
    FAILS = "fails"
    """It ends at once, with a cause in its log."""
    SULKS = "sulks"
    """It is never healthy."""


def fake_python(folder: Path, *fates: Fate) -> Path:
    """An executable that takes an interpreter's arguments; starts go by `fates`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, fate in enumerate(fates or (Fate.SERVES,), 1):
        (folder / str(number)).write_text(fate)
    script = folder / "python"
    words = [f"PYTHONPATH={_ROOT}", sys.executable, str(Path(__file__).resolve()), str(folder)]
    script.write_text(f'#!/bin/sh\nexec env {shlex.join(words)} "$@"\n')
    script.chmod(0o755)
    return script


def starts(folder: Path) -> list[int]:
    """The pids of the servers that were started, in order."""
    return [int(file.read_text()) for file in sorted(folder.glob("pid-*"))]


def say(context_text: str, seed: int) -> str:
    """A text of 600 characters or so that depends on the seed."""
    return f"{seed} and so on, " * 40


def main(folder: Path, arguments: list[str]) -> None:
    """Be the server."""
    number = len(starts(folder)) + 1
    draft = folder / f"draft-{number:03}"
    draft.write_text(str(os.getpid()))
    draft.rename(folder / f"pid-{number:03}")  # whole from the first look on
    fate = Fate((folder / str(min(number, len(list(folder.glob("[0-9]*")))))).read_text())
    parser = argparse.ArgumentParser()
    parser.add_argument("--uds", type=Path, required=True)
    socket = parser.parse_known_args(arguments)[0].uds
    _log("(APIServer pid=1) INFO 11-24 07:10:01 [fake.py:1] loading the weights")
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    if fate is Fate.FAILS:
        _log("(EngineCore pid=2) ERROR 11-24 07:10:02 [fake.py:2] ValueError: the model is too good")
        sys.exit(1)
    anyio.run(_serve, socket, Mood(hangs_after=20 if fate is Fate.HANGS else None, is_healthy=fate is not Fate.SULKS))


def _log(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve(socket: Path, mood: Mood) -> None:
    async with StandIn(socket, say, mood=mood, model="model"):
        await anyio.sleep_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
