"""`numina-infer kaggle build`: the folders that Kaggle's client uploads for one kernel.

OUT/kernel/    kernel-metadata.json and submission.ipynb, for `kaggle kernels push`
OUT/dataset/   this package's wheel and the pure Python wheels it needs, flat, for `kaggle datasets create`
OUT/model/     the metadata for the folder with the weights, where the model is the owner's own
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numina_infer.competitions.known import Api
from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Announce
from numina_infer.kaggle.build import notebook
from numina_infer.kaggle.build.metadata import own_model
from numina_infer.kaggle.build.new_folder import made_whole
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.build.own_wheels import fetch_light_wheels, make_own_wheel
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.shipped import find_shipped
from numina_infer.kaggle.build.sources import OWNER_PLACEHOLDER
from numina_infer.kaggle.wheelhouse.target import Target

NOTEBOOK = "notebooks/submission.ipynb"
"""Where the checkout has it."""


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
        ConfigError: `out` holds something, or the notebook can't be set.
        WheelError: a wheel can't be built or fetched.
    """
    _require_empty(out)
    has_model = push.model.owner == push.owner != OWNER_PLACEHOLDER
    with made_whole(out, ("kernel", "dataset", "model")):
        _build_kernel(push, out / "kernel")
        report(f"kernel/: {push.name} on {push.shape}")
        _build_dataset(push, out / "dataset", report)
        if has_model:
            _build_model(push, out / "model")
            report("model/: metadata to lie beside your own weights")
    return Built(push, out, has_model)


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} isn't empty; name a new folder with --out, or remove this one first")


def _build_kernel(push: Push, folder: Path) -> None:
    submission = Notebook.read(find_shipped(NOTEBOOK)).with_settings(push.settings)
    folder.mkdir(parents=True)
    push.metadata().write(folder)
    submission.write(folder / notebook.FILE_NAME)


def _build_dataset(push: Push, folder: Path, report: Announce) -> None:
    folder.mkdir(parents=True)
    push.dataset.write(folder)
    report(f"dataset/: {make_own_wheel(folder).name}")
    report(f"dataset/: {', '.join(fetch_light_wheels(folder, Target()))}")


def _build_model(push: Push, folder: Path) -> None:
    folder.mkdir(parents=True)
    for metadata in own_model(push.model):
        metadata.write(folder)
