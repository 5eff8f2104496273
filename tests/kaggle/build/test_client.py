"""What Kaggle's own client makes of the folders: it is run for real, and every field that it sends is stated here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from numina_infer.kaggle.build.build import Built
from tests.kaggle.build.kaggle_stub import Stub, kaggle_stub


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Kaggle's side."""
    with kaggle_stub() as running:
        yield running


def test_a_pushed_kernel_has_every_field(built: Built, stub: Stub, tmp_path: Path) -> None:
    """GPU on, internet off, private, two T4s, and all that is attached."""
    said = stub.run(["kernels", "push", "-p", str(built.out / "kernel")], tmp_path)
    assert "Kernel version 1 successfully pushed" in said
    (sent,) = stub.sent("SaveKernel")
    text = json.loads(sent.pop("text"))
    assert sent == {
        "slug": "me/numina-infer-aimo-1",
        "newTitle": "numina-infer-aimo-1",
        "language": "python",
        "kernelType": "notebook",
        "isPrivate": True,
        "enableGpu": True,
        "enableTpu": False,
        "enableInternet": False,
        "machineShape": "NvidiaTeslaT4",
        "dockerImagePinningType": "original",
        "competitionDataSources": ["ai-mathematical-olympiad-prize"],
        "datasetDataSources": ["me/numina-infer", "me/numina-infer-vllm-0-19-1"],
        "modelDataSources": ["me/my-7b/transformers/default/3"],
    }
    code = "\n".join(cell["source"] for cell in text["cells"] if cell["cell_type"] == "code")
    for line in (
        'COMPETITION = "aimo-1"',
        'MODEL = "me/my-7b/transformers/default/3"',
        'PRESET = "t4x2"',
    ):
        assert code.count(line) == 1


def test_a_created_dataset_has_the_wheels(built: Built, stub: Stub, tmp_path: Path) -> None:
    """Private, under this package's licence, each file once and whole."""
    stub.run(["datasets", "create", "-p", str(built.out / "dataset")], tmp_path)
    (sent,) = stub.sent("CreateDataset")
    names = sorted(path.name for path in (built.out / "dataset").glob("*.whl"))
    files = sorted(file["token"] for file in sent.pop("files"))
    assert files == [f"token-{name}" for name in names]
    assert sent == {
        "ownerSlug": "me",
        "slug": "numina-infer",
        "title": "numina-infer",
        "licenseName": "Apache 2.0",
        "subtitle": "The numina-infer package for offline kernels",
        "description": "Wheels of numina-infer and of the pure Python packages that it needs. "
        "Built by `numina-infer kaggle build`.",
        "isPrivate": True,
    }
    assert stub.blobs == {name: (built.out / "dataset" / name).stat().st_size for name in names}
    assert {upload["type"] for upload in stub.sent("StartBlobUpload")} == {"DATASET"}


def test_a_model_of_ones_own_is_created(built: Built, stub: Stub, tmp_path: Path) -> None:
    """Once as a whole, from the template that is built where the model is the owner's."""
    stub.run(["models", "create", "-p", str(built.out / "model")], tmp_path)
    (sent,) = stub.sent("CreateModel")
    assert (
        sent.items()
        >= {
            "ownerSlug": "me",
            "slug": "my-7b",
            "title": "my-7b",
            "isPrivate": True,
            "description": "Weights for numina-infer.",
        }.items()
    )


def test_the_weights_of_ones_own_model_are_uploaded(built: Built, stub: Stub, tmp_path: Path) -> None:
    """They lie beside the metadata, which is no part of the upload."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (built.out / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.safetensors").write_bytes(b"weights")
    stub.run(["models", "instances", "create", "-p", str(folder)], tmp_path)
    (sent,) = stub.sent("CreateModelInstance")
    assert (sent["ownerSlug"], sent["modelSlug"]) == ("me", "my-7b")
    assert [file["token"] for file in sent["body"].pop("files")] == ["token-model.safetensors"]
    assert sent["body"] == {
        "instanceSlug": "default",
        "framework": "MODEL_FRAMEWORK_TRANSFORMERS",
        "licenseName": "Apache 2.0",
        "fineTunable": False,
        "modelInstanceType": "MODEL_INSTANCE_TYPE_UNSPECIFIED",
        "baseModelInstance": "",
        "externalBaseModelUrl": "",
    }
    assert stub.blobs == {"model.safetensors": 7}
    assert {upload["type"] for upload in stub.sent("StartBlobUpload")} == {"MODEL"}
