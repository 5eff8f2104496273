"""The stand-in as a process that is started as vLLM is: for rehearsals of machines that aren't here, and for drills.

    write_interpreter(folder / "python", lines=file, speed=12.0)

makes an executable for `Launch.python` or NUMINA_VLLM_PYTHON: whatever module of vLLM it is asked for, it serves the
lines of a script (`engines.scripted_engine`) on the socket that vLLM's arguments name, at the pace of two T4s,
tokenised by the tokenizer of the model that they name.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from drills.engines.pace import Pace
from drills.engines.stand_in import StandIn
from numina_infer.core.terminal import HelpFormatter
from numina_infer.engines.scripted_engine import Cue, Lines, load_script
from numina_infer.engines.simulated_machine import T4_COSTS
from numina_infer.engines.vocabulary import TokenizerVocabulary

_OUTPUT = "```output"


def write_interpreter(file: Path, *, lines: Path, speed: float, start_s: float = 0.0) -> Path:
    """Make `file` an executable that serves `lines`, and return it.

    `speed` is how many of the machine's seconds pass in one, `start_s` what a start takes, in real seconds.
    """
    root = Path(__file__).resolve().parents[2]
    words = ["env", f"PYTHONPATH={root}", sys.executable, "-m", "drills.engines.stand_in_server"]
    words += [f"--lines={lines.absolute()}", f"--speed={speed}", f"--start={start_s}"]
    file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    file.chmod(0o755)
    return file


@dataclass(frozen=True, slots=True)
class InTurn:
    """A file's script for a server, which doesn't know the turn: it counts the outputs behind the problem."""

    script: Lines

    @property
    def name(self) -> str:
        """The script's."""
        return self.script.name

    def line(self, cue: Cue) -> str:
        """The line for the context's turn."""
        last = max(cue.context_text.rfind(problem) for problem in self.script.by_problem)
        return self.script.line(replace(cue, turn=cue.context_text.count(_OUTPUT, max(0, last))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter, allow_abbrev=False)
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--uds", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--served-model-name", default="model")
    parser.add_argument("--max-model-len", type=int, default=4096)
    chosen, _ = parser.parse_known_args(arguments)
    anyio.run(_serve, chosen)


async def _serve(chosen: argparse.Namespace) -> None:
    costs = T4_COSTS
    await anyio.sleep(chosen.start)
    server = StandIn(
        chosen.uds,
        InTurn(load_script(chosen.lines)),
        model=chosen.served_model_name,
        max_model_len=chosen.max_model_len,
        kv_tokens=costs.kv_tokens,
        vocabulary=TokenizerVocabulary.from_folder(chosen.model),
        pace=Pace(costs, chosen.speed),
    )
    async with server:
        await anyio.sleep_forever()


if __name__ == "__main__":
    main()
