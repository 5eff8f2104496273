"""`numina-infer kaggle build`: the folders that Kaggle's client uploads for one kernel.

OUT/kernel/    kernel-metadata.json and submission.ipynb, for `kaggle kernels push`
OUT/dataset/   this package's wheel and the pure Python wheels it needs, flat, for `kaggle datasets create`
OUT/model/     the metadata for the folder with the weights, where the model is the owner's own

The notebook and the tested versions are read from the checkout; this package's wheel has copies of them in `data/`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numina_infer.competitions.known import Api
from numina_infer.core.errors import ConfigError, WheelError
from numina_infer.core.ports import Announce
from numina_infer.kaggle.build import notebook
from numina_infer.kaggle.build.metadata import own_model
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER
from numina_infer.kaggle.wheelhouse.download import fetch, open_client
from numina_infer.kaggle.wheelhouse.resolution import Target, resolve, without_addresses

NOTEBOOK = "notebooks/submission.ipynb"
"""Where the checkout has it."""
OWN = "numina-infer"
LIGHT = ("httpx2", "httpcore2")
"""Core dependencies that Kaggle's image may lack; they and all that they need are pure Python."""

_CHECKOUT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Built:
    """The finished folder."""

    push: Push
    out: Path
    has_model: bool
    """Whether there is a folder for the owner's own weights."""

    def next_commands(self) -> Iterator[str]:
        """The commands to type next, one command or comment a line."""
        folder, push = shlex.quote(str(self.out)), self.push
        if self.has_model:
            model = push.model
            variation = f"{model.owner}/{model.model}/{model.framework}/{model.variation}"
            yield f"# your own weights, once, with their files beside the metadata in {folder}/model"
            yield f"kaggle models create -p {folder}/model"
            yield f"kaggle models instances create -p {folder}/model"
            yield f"# later versions: kaggle models instances versions create {variation} -p {folder}/model"
        yield f"# the package; later: kaggle datasets version -p {folder}/dataset -m '…'"
        yield f"kaggle datasets create -p {folder}/dataset"
        yield f"# vLLM's wheels, {push.wheelhouse}: once, as numina-infer kaggle wheelhouse tells"
        yield f"kaggle kernels push -p {folder}/kernel"
        yield f"kaggle kernels status {push.name}"
        yield "# once that has ended well, with the version that push told"
        file = "submission.csv" if push.competition.api is Api.AIMO else "submission.parquet"
        yield f"kaggle competitions submit {push.competition.slug} -k {push.name} -v VERSION -f {file} -m '…'"


def build(push: Push, out: Path, report: Announce) -> Built:
    """Write everything for `push` into `out`, which must be new or empty; nothing stays there if that fails.

    Raises:
        ConfigError: `out` holds something, the notebook can't be set, or this isn't a checkout.
        WheelError: a wheel can't be built or fetched.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} isn't empty; name a new folder with --out, or remove this one first")
    has_model = push.model.owner == push.owner != OWNER_PLACEHOLDER
    with tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch:
        folder = Path(scratch) / "out"
        _build_kernel(push, folder / "kernel")
        report(f"kernel/: {push.name} on {push.shape}")
        _build_dataset(push, folder / "dataset", report)
        if has_model:
            (folder / "model").mkdir()
            for metadata in own_model(push.model):
                metadata.write(folder / "model")
            report("model/: metadata to lie beside your own weights")
        copy_whole(folder, out)
    return Built(push, out, has_model)


def _build_kernel(push: Push, folder: Path) -> None:
    submission = Notebook.read(find_shipped(NOTEBOOK)).with_settings(push.settings)
    folder.mkdir(parents=True)
    push.metadata().write(folder)
    submission.write(folder / notebook.FILE_NAME)


def _build_dataset(push: Push, folder: Path, report: Announce) -> None:
    folder.mkdir(parents=True)
    push.dataset.write(folder)
    report(f"dataset/: {make_own_wheel(folder).name}")
    report(f"dataset/: {', '.join(fetch_light_wheels(folder))}")


def make_own_wheel(folder: Path) -> Path:
    """Have pip build this package's wheel from the checkout into `folder`; returns its path.

    Raises:
        ConfigError: this package was installed from a wheel, so there is no checkout.
        WheelError: pip can't build it.
    """
    if not (_CHECKOUT / "pyproject.toml").is_file():
        raise ConfigError("the package's wheel is built from its checkout: run this there, installed with pip -e")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(_CHECKOUT)]
    done = subprocess.run(  # noqa: S603 (our own words, and no shell)
        [*command, "--quiet", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ) | {"PIP_NO_INPUT": "1"},
    )
    if done.returncode:
        raise WheelError(f"pip wheel failed:\n{without_addresses(done.stderr.strip())}")
    return next(folder.glob("numina_infer-*.whl"))


def fetch_light_wheels(folder: Path) -> tuple[str, ...]:
    """Fetch the wheels of `LIGHT` and all that they need on Kaggle's image, in the tested versions.

    Returns:
        Each as `name==version`.

    Raises:
        WheelError: one can't be resolved or fetched.
    """
    wheels = resolve(LIGHT, Target(), [find_shipped("constraints.txt")])
    with open_client() as client:
        for wheel in wheels:
            fetch(wheel, folder, client)
    return tuple(f"{wheel.name}=={wheel.version}" for wheel in wheels)


def copy_whole(source: Path, folder: Path) -> None:
    """Copy what is in `source` into `folder`; what was copied is removed again if that fails, as on a full disk."""
    new = [folder / each.name for each in source.iterdir() if not (folder / each.name).exists()]
    try:
        shutil.copytree(source, folder, dirs_exist_ok=True)
    except BaseException:
        for path in new:
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
        raise


def find_shipped(path: str) -> Path:
    """The file at `path` of the checkout, or the copy in this package's wheel, which has the file's name alone.

    Raises:
        ConfigError: neither is there.
    """
    found = find_optional(path)
    if found is None:
        raise ConfigError(f"{path} isn't part of this installation; install numina-infer from its checkout")
    return found


def find_optional(path: str) -> Path | None:
    """The same, or None."""
    places = (_CHECKOUT / path, Path(__file__).with_name("data") / Path(path).name)
    return next((place for place in places if place.is_file()), None)
