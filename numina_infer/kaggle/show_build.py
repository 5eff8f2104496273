"""Runs `numina-infer kaggle build`, `wheelhouse` and `check`, and prints their results."""

import json
from dataclasses import asdict
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
from numina_infer.kaggle.wheelhouse.wheelhouse import WantedWheels, WheelPlan, begin, find_wheels, require_own_folder


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
    """Collect wheels and print the next commands, or with `is_dry` only find them and print a table.

    Results go to `console`, on request as JSON, progress to `notes`.

    Raises:
        ConfigError: `out` holds something else.
        WheelError: wheels can't be found or fetched, or the finished folder doesn't install by itself.
    """
    require_own_folder(out, wanted)
    plan = find_wheels(wanted, out, _printer(notes))
    trial = None if is_dry else _collected(plan, out, notes)
    if as_json:
        here = {"folder": None, "checked": None} if trial is None else {"folder": str(out), "checked": trial.proof}
        console.out(json.dumps({**plan.as_dict(), **here}), highlight=False)
    elif is_dry:
        console.print(plan.table())
    else:
        say = _printer(console)
        if wanted.owner == OWNER_PLACEHOLDER:
            say(f"put your user name in the place of {OWNER_PLACEHOLDER} in {out}/{wanted.dataset.FILE_NAME}, then:")
        say(f"kaggle datasets create -p {out}")
        say(f"kaggle datasets status {wanted.dataset.id}")
    return 0


def _collected(plan: WheelPlan, out: Path, notes: Console) -> OfflineTrial:
    note = _printer(notes)
    begin(plan, out)
    _fetch_all(plan, out, notes)
    note("checking that it installs by itself")
    trial = try_wheelhouse(out)
    note(trial.line)
    if trial.findings:
        raise WheelError("\n".join([f"{out}: {trial.line}", *map(str, trial.findings)]))
    return trial


def run_check(folder: Path, console: Console, *, may_install: bool, as_json: bool) -> int:
    """Print what is wrong with a folder, one line a finding.

    Returns:
        2 where something is.

    Raises:
        ConfigError: nothing in it was built for Kaggle.
    """
    checked, say = check(folder, may_install=may_install), _printer(console)
    if as_json:
        proof = checked.trial.proof if checked.trial else None
        findings = [asdict(finding) for finding in checked.findings]
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


def _fetch_all(plan: WheelPlan, out: Path, notes: Console) -> None:
    """Download every wheel into `out`, a line each, on a terminal with a progress bar below them."""
    say = _printer(notes)
    say(f"{len(plan.wheels)} wheels, {decimal(plan.total_bytes)}; after Ctrl-C the same command goes on")
    columns = (TextColumn("wheels"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal)
    with shown, open_client() as client:
        bar, before = shown.add_task("wheels", total=plan.total_bytes), 0
        for number, wheel in enumerate(plan.wheels, 1):
            say(f"[{number}/{len(plan.wheels)}] {wheel.filename}, {wheel.size_text}")
            fetch(wheel, out, client, partial(_advance, shown, bar, before))
            before += wheel.size or 0


def _advance(shown: Progress, bar: TaskID, before: int, here: int) -> None:
    shown.update(bar, completed=before + here)
