"""`kaggle check`: nothing is said of a good folder, and each thing that costs a submission is found."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from numina_infer.cli import main
from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.build.build import Built
from numina_infer.kaggle.build.check import check

METADATA = "kernel/kernel-metadata.json"


@pytest.fixture
def folder(built: Built, tmp_path: Path) -> Path:
    """A built folder that may be broken."""
    return shutil.copytree(built.out, tmp_path / "out")


def change(path: Path, **fields: Any) -> None:
    """Set keys of a JSON file; one that is set to `...` is removed."""
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def lines(folder: Path) -> list[str]:
    """What is found."""
    return [str(finding) for finding in check(folder).findings]


def test_a_built_folder_is_good(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, for people and for scripts."""
    assert lines(folder) == []
    assert main(["kaggle", "check", str(folder)]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert main(["kaggle", "check", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": [], "wheelhouse": None}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"enable_internet": True},
            "internet is on, and a code competition takes no such kernel; set enable_internet",
        ),
        ({"enable_gpu": False}, "the GPU is off; set enable_gpu to true"),
        ({"enable_tpu": True}, "a TPU is on"),
        ({"is_private": False}, "the kernel is public; set is_private to true"),
        (
            {"machine_shape": "NvidiaTeslaP100"},
            "preset t4x2 is for NvidiaTeslaT4, and machine_shape is NvidiaTeslaP100",
        ),
        ({"machine_shape": "T4x2"}, "no machine with GPUs is called 'T4x2'; choose one of"),
        ({"model_sources": []}, "no model is attached; name it in model_sources"),
        (
            {"model_sources": ["me/other/transformers/v/1"]},
            "MODEL is 'me/my-7b/transformers/default/3', and the models",
        ),
        ({"competition_sources": []}, "no competition is attached"),
        ({"competition_sources": ["titanic"]}, "plays ai-mathematical-olympiad-prize, and titanic is attached"),
        (
            {"dataset_sources": ["me/numina-infer-vllm-0-19-1"]},
            "the dataset with this package, me/numina-infer, isn't attached",
        ),
        ({"dataset_sources": ["me/numina-infer"]}, "no wheelhouse is attached, and Kaggle's image has no vLLM"),
        ({"internet": False}, "'internet' is no key that the client knows"),
        ({"is_private": ...}, "is_private isn't stated, and the client takes a default; state it"),
        ({"language": "perl"}, "language is 'perl'; it must be one of python, r, rmarkdown"),
        ({"id": "OWNER/numina-infer-aimo-1"}, "the owner is still OWNER; put your user name there"),
        ({"code_file": "other.ipynb"}, "kernel/other.ipynb"),
        ({"code_file": "/other.ipynb"}, "kernel//other.ipynb"),
    ],
)
def test_a_fault_of_the_kernel_is_found(folder: Path, fields: dict[str, Any], expected: str) -> None:
    """It alone, in one line with what to do."""
    change(folder / METADATA, **fields)
    (found,) = lines(folder)
    assert expected in found
    assert found.startswith("kernel/")
    assert "; " in found


def test_a_dataset_source_may_name_a_version(folder: Path) -> None:
    """It is attached all the same."""
    change(folder / METADATA, dataset_sources=["me/numina-infer/3", "them/vllm/2"])
    assert lines(folder) == []


def edit_notebook(folder: Path, edit: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the cells."""
    path = folder / "kernel/submission.ipynb"
    content = json.loads(path.read_text())
    edit(content["cells"])
    path.write_text(json.dumps(content))


def add_cell(cells: list[dict[str, Any]]) -> None:
    """One more."""
    cells.append(
        {"cell_type": "code", "source": "!pip install vllm", "outputs": [], "execution_count": None, "metadata": {}}
    )


def add_output(cells: list[dict[str, Any]]) -> None:
    """As after a run."""
    cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "52"}]


def drop_settings(cells: list[dict[str, Any]]) -> None:
    """The cell with them."""
    cells[:] = [cell for cell in cells if "COMPETITION = " not in "".join(cell["source"])]


def set_competition(cells: list[dict[str, Any]]) -> None:
    """To one that nobody knows."""
    for cell in cells:
        cell["source"] = "".join(cell["source"]).replace('COMPETITION = "aimo-1"', 'COMPETITION = "aimo-9"')


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (add_cell, "its cells aren't those of this version"),
        (add_output, "it has outputs; clear them"),
        (drop_settings, "assigns COMPETITION 0 times"),
        (set_competition, "COMPETITION 'aimo-9' isn't known, as are aimo-1"),
    ],
)
def test_a_notebook_that_was_changed_is_found(
    folder: Path, edit: Callable[[list[dict[str, Any]]], None], expected: str
) -> None:
    """Settings excepted: those are the user's."""
    edit_notebook(folder, edit)
    (found,) = lines(folder)
    assert expected in found


def test_a_setting_of_the_notebook_may_be_changed(folder: Path) -> None:
    """It is still the same notebook."""

    def set_preset(cells: list[dict[str, Any]]) -> None:
        for cell in cells:
            cell["source"] = "".join(cell["source"]).replace('PRESET = "t4x2"', 'PRESET = "numina"')

    edit_notebook(folder, set_preset)
    assert lines(folder) == []


def rename(folder: Path, old: str, new: str) -> None:
    """Give a wheel another name."""
    (path,) = (folder / "dataset").glob(old)
    path.rename(path.with_name(new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "h11-*",
            "h11-0.16.0-cp311-cp311-manylinux_2_17_x86_64.whl",
            "its wheels don't install on Kaggle's image, Python 3.12",
        ),
        ("h11-*", "h11-0.16.0-cp312-cp312-manylinux_2_17_aarch64.whl", "don't install on Kaggle's image"),
        ("h11-*", "notes.txt", "h11 was not found"),
        ("numina_infer-*", "notes.txt", "the wheel of numina-infer is missing"),
        ("numina_infer-*", "numina_infer-0.0.1-py3-none-any.whl", "it is version 0.0.1, and"),
    ],
)
def test_a_wheel_that_will_not_do_is_found(folder: Path, old: str, new: str, expected: str) -> None:
    """For another Python, another machine, another version, or not there."""
    rename(folder, old, new)
    (found,) = lines(folder)
    assert expected in found
    assert found.startswith("dataset/")


def test_a_wheel_in_a_dataset_that_is_no_archive_is_found(folder: Path) -> None:
    """Whoever needs it: the notebook unzips them all."""
    (folder / "dataset" / "other-1.0-py3-none-any.whl").write_bytes(b"no archive")
    assert (
        "dataset/other-1.0-py3-none-any.whl: it can't be unzipped, and the kernel would end there" in lines(folder)[0]
    )


def test_a_folder_in_a_dataset_is_found(folder: Path) -> None:
    """An upload skips it."""
    (folder / "dataset" / "more").mkdir()
    assert lines(folder) == ["dataset/more/: an upload skips folders; move its files up, or remove it"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (METADATA, "kernel/: there is no kernel-metadata.json; build it again"),
        ("dataset/dataset-metadata.json", "dataset/: there is no dataset-metadata.json; build it again"),
    ],
)
def test_a_missing_file_is_found(folder: Path, path: str, expected: str) -> None:
    """Of the two that an upload reads first."""
    (folder / path).unlink()
    assert expected in lines(folder)


def test_a_file_of_the_models_is_checked(folder: Path) -> None:
    """Where the model is the owner's own."""
    change(folder / "model/model-instance-metadata.json", licenseName="", ownerSlug="OWNER")
    assert lines(folder) == [
        "model/model-instance-metadata.json: licenseName is missing; correct it",
        "model/model-instance-metadata.json: the owner is still OWNER; put your user name there: --owner NAME",
    ]
    (folder / "model/model-metadata.json").unlink()
    assert lines(folder)[0].startswith("model/model-metadata.json: ")


def test_each_finding_is_one_line_and_the_code_is_two(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people; for scripts the same as JSON."""
    change(folder / METADATA, enable_internet=True, enable_gpu=False)
    assert main(["kaggle", "check", str(folder)]) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["kaggle", "check", str(folder), "--json"]) == 2
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [sorted(finding) for finding in findings] == [["fix", "place", "what"]] * 2


def test_a_kernel_is_checked_by_itself(folder: Path) -> None:
    """As the one at the top of a checkout is."""
    assert lines(folder / "kernel") == []
    change(folder / METADATA, dataset_sources=["them/vllm"])
    assert "the dataset with this package, OWNER/numina-infer, isn't attached" in lines(folder / "kernel")[0]


def test_a_folder_without_any_of_it_is_refused(tmp_path: Path) -> None:
    """It isn't good for having nothing wrong in it."""
    with pytest.raises(ConfigError, match="holds nothing that was built for Kaggle"):
        check(tmp_path)


OF_ANOTHER_TYPE: list[Any] = [
    *(None, 5, True, "text", [], [1], [None], [["a"]], {}, {"a": 1}, [{"a": 1}], 1e400, float("nan"), "\ud800"),
    "x" * 5000,
]


def of_another_type(folder: Path, file: str) -> Iterator[tuple[str, Any]]:
    """Each field of `file` with values that are of another type than the one it has in a good folder."""
    for key, good in json.loads((folder / file).read_text()).items():
        for value in OF_ANOTHER_TYPE:
            is_same = type(value) is type(good) and value != "\ud800" and not (isinstance(value, list) and value)
            is_right_too = (key == "docker_image" and value in (None, "text", "x" * 5000)) or (
                key == "resources" and value == [{"a": 1}]
            )
            if not (is_same or is_right_too):
                yield key, value


@pytest.mark.parametrize(
    "file",
    [
        METADATA,
        "dataset/dataset-metadata.json",
        "model/model-metadata.json",
        "model/model-instance-metadata.json",
    ],
)
def test_a_value_of_another_type_is_found_and_nothing_falls_over_it(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any field of any file, in one line that names the field and says what to write."""
    monkeypatch.setattr("numina_infer.kaggle.build.check.folder_fault", lambda *_: "")
    good = (folder / file).read_text()
    for key, value in of_another_type(folder, file):
        change(folder / file, **{key: value})
        found = [line for line in lines(folder) if line.startswith(f"{file}: {key} is ")]
        assert len(found) == 1, (key, value)
        assert all("; it must be " in line and line.count("; ") >= 2 for line in found)
        (folder / file).write_text(good)


def test_a_machine_that_is_null_is_found(folder: Path) -> None:
    """Kaggle takes one without a GPU then, or an old one."""
    change(folder / METADATA, machine_shape=None)
    assert lines(folder) == [
        'kernel/kernel-metadata.json: machine_shape is null; it must be a text; write for example "NvidiaTeslaT4"'
    ]
    change(folder / METADATA, machine_shape="")
    assert "no machine with GPUs is called ''" in lines(folder)[0]


@pytest.mark.parametrize("id_", [None, 5, ["me/numina-infer"], {"a": 1}])
def test_a_dataset_without_a_name_is_found_once(id_: Any, folder: Path) -> None:
    """The kernel isn't compared with a name that is none."""
    change(folder / "dataset/dataset-metadata.json", id=id_)
    (found,) = lines(folder)
    assert found.startswith("dataset/dataset-metadata.json: id is ")


@pytest.mark.parametrize(
    "cell", [5, {}, {"cell_type": "code"}, {"cell_type": 5, "source": ""}, {"cell_type": "code", "source": [5]}]
)
def test_a_notebook_with_a_cell_of_another_type_is_none(cell: Any, folder: Path) -> None:
    """As its file says."""
    edit_notebook(folder, lambda cells: cells.append(cell))
    (found,) = lines(folder)
    assert "isn't a notebook: a cell has no type, or no text for a source" in found


def test_a_file_that_is_nested_without_end_is_found(folder: Path) -> None:
    """Python's reader gives up on it in its own way."""
    (folder / METADATA).write_text('{"id": ' + "[" * 100_000)
    (found,) = lines(folder)
    assert "holds no JSON" in found
