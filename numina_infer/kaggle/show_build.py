"""Runs `numina-infer kaggle build`, `wheelhouse` and `check`, and prints their results."""

import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from numina_infer.core.errors import WheelError
from numina_infer.core.ports import Announce
from numina_infer.kaggle.build.build import build
from numina_infer.kaggle.build.check import check
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER
from numina_infer.kaggle.wheelhouse.download import fetch, open_client
from numina_infer.kaggle.wheelhouse.offline_trial import OfflineTrial, try_wheelhouse
from numina_infer.kaggle.wheelhouse.wheelhouse import (
    WantedWheels,
    WheelPlan,
    begin,
    find_wheels,
    require_own_folder,
)


def run_build(push: Push, out: Path, console: Console) -> int:
    """Build the folders of a kernel and print the next commands; see `build` for what it raises."""
    say = _printer(console)
    built = build(push, out, say)
    say(f"\n{out} is ready; numina-infer kaggle check {out} looks it over. Next:")
    for line in built.next_commands():
        say(line)
    return 0


def run_wheelhouse(
    wanted: WantedWheels, out: Path, console: Console, notes: Console, *, is_dry: bool, as_json: bool
) -> int:
    """Collect wheels, or with `is_dry` only find them; the table, or JSON, goes to `console`, the rest to `notes`.

    Raises:
        ConfigError: `out` holds something else.
        WheelError: wheels can't be found or fetched, or the finished folder doesn't install by itself.
    """
    require_own_folder(out, wanted)
    with tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch:
        plan = find_wheels(wanted, out, Path(scratch), _printer(notes))
        if not is_dry:
            begin(plan, out)
            fetch_all(plan, out, notes)
    trial = None if is_dry else _tried(out, notes)
    if as_json:
        console.out(json.dumps(_as_dict(plan, None if is_dry else out, trial)), highlight=False)
    elif is_dry:
        console.print(plan.table())
    else:
        _say_next(plan, out, console)
    return 0


def run_check(folder: Path, console: Console, *, may_install: bool, as_json: bool) -> int:
    """Print what is wrong with a folder, one line a finding.

    Returns:
        2 where something is.

    Raises:
        ConfigError: nothing in it was built for Kaggle.
    """
    checked, say = check(folder, may_install=may_install), _printer(console)
    if as_json:
        findings = [finding.as_dict() for finding in checked.findings]
        proof = str(checked.trial.proof) if checked.trial else None
        console.out(json.dumps({"findings": findings, "wheelhouse": proof}), highlight=False)
        return 2 if findings else 0
    for finding in checked.findings:
        say(str(finding))
    if checked.trial:
        say(checked.trial.line)
    if not checked.findings:
        say(f"nothing is wrong with {folder}")
    return 2 if checked.findings else 0


def _printer(console: Console) -> Announce:
    """Prints lines as they are, however long."""
    return partial(console.print, soft_wrap=True, markup=False, highlight=False)


def fetch_all(plan: WheelPlan, out: Path, notes: Console) -> None:
    """Download every wheel into `out`, which `begin` has made, with a progress bar; see `fetch` for what it raises."""
    say = _printer(notes)
    say(f"{len(plan.wheels)} wheels, {decimal(plan.total_bytes)}; after Ctrl-C the same command goes on")
    progress = _progress(notes)
    shown: AbstractContextManager[object] = progress if notes.is_terminal else nullcontext()
    with shown, open_client() as client:
        bar, before = progress.add_task("wheels", total=plan.total_bytes), 0
        for number, wheel in enumerate(plan.wheels, 1):
            progress.update(bar, description=wheel.name)
            fetch(wheel, out, client, _advance(progress, bar, before))
            before += wheel.size or 0
            if not notes.is_terminal:
                say(f"[{number}/{len(plan.wheels)}] {wheel.filename}, {wheel.size_text}")


def _advance(progress: Progress, bar: TaskID, before: int) -> Callable[[int], None]:
    return lambda here: progress.update(bar, completed=before + here)


def _progress(notes: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<28.28}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
    )


def _tried(out: Path, notes: Console) -> OfflineTrial:
    say = _printer(notes)
    say("checking that it installs by itself")
    trial = try_wheelhouse(out)
    say(trial.line)
    if trial.findings:
        raise WheelError("\n".join([f"{out}: {trial.line}", *map(str, trial.findings)]))
    return trial


def _say_next(plan: WheelPlan, out: Path, console: Console) -> None:
    say = _printer(console)
    dataset = plan.wanted.dataset
    if plan.wanted.owner == OWNER_PLACEHOLDER:
        say(f"put your user name in the place of {OWNER_PLACEHOLDER} in {out}/{dataset.FILE_NAME}, then:")
    say(f"kaggle datasets create -p {out}")
    say(f"kaggle datasets status {dataset.id}")


def _as_dict(plan: WheelPlan, out: Path | None, trial: OfflineTrial | None) -> dict[str, object]:
    return {
        "wanted": list(plan.wanted.summary),
        "target": str(plan.wanted.target),
        "wheels": [
            {"name": each.name, "version": each.version, "filename": each.filename, "sha256": each.sha256}
            | {"bytes": each.size}
            for each in plan.wheels
        ],
        "total_bytes": plan.total_bytes,
        "folder": str(out) if out else None,
        "checked": str(trial.proof) if trial else None,
    }
