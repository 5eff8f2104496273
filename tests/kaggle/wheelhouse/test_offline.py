"""The small wheelhouse for real: this package with what a notebook needs, installed without the network, and run.

Run it with `make test-wheelhouse`; it takes three minutes and 2 GB of disk.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from numina_infer import read_run
from numina_infer.kaggle.build.build import find_shipped, make_own_wheel
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.wheelhouse.download import sha256_of
from numina_infer.kaggle.wheelhouse.offline_trial import install_faults
from numina_infer.kaggle.wheelhouse.resolution import Target
from numina_infer.kaggle.wheelhouse.wheelhouse import Entry, Lock
from numina_infer.runs.problems import example_problems_path

pytestmark = [pytest.mark.wheelhouse, pytest.mark.timeout(1200)]
NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every wheel for the interpreter that runs, as pip is configured for it, with a lock."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    own = f"numina-infer[transformers,kaggle,notebook] @ {make_own_wheel(tmp_path_factory.mktemp('own')).as_uri()}"
    pins = ["--constraint", str(find_shipped("constraints.txt"))]
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(folder)]
    subprocess.run([*fetch, *pins, own], check=True)
    releases = {path: parse_wheel_filename(path.name) for path in folder.glob("*.whl")}
    entries = [Entry(name, str(version), sha256_of(path)) for path, (name, version, *_) in releases.items()]
    Lock.of(("numina-infer",), Target(f"3.{sys.version_info.minor}", glibc=36), entries).write(folder)
    return folder


@pytest.fixture(scope="module")
def offline_python(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that was made from the folder alone."""
    venv = tmp_path_factory.mktemp("offline") / "venv"
    assert list(install_faults(wheelhouse, sys.executable, venv)) == []
    return venv / "bin" / "python"


def test_what_was_installed_offline_imports(offline_python: Path) -> None:
    """Heavy packages included, out of the new environment."""
    program = "import numina_infer, torch, transformers, grpc, polars, nbconvert; print(numina_infer.__file__)"
    done = subprocess.run([offline_python, "-I", "-c", program], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(offline_python.parents[1]))


def test_the_command_is_there(offline_python: Path) -> None:
    """And knows what was shipped in the wheel: without the checkout it finds the notebook."""
    program = (
        "from numina_infer.kaggle.build.build import find_shipped;"
        "print(find_shipped('notebooks/submission.ipynb').name)"
    )
    done = subprocess.run([offline_python, "-I", "-c", program], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["submission.ipynb"]
    subprocess.run([offline_python.with_name("numina-infer"), "--help"], check=True, capture_output=True)


def test_the_notebook_runs_on_what_was_installed_offline(offline_python: Path, tmp_path: Path) -> None:
    """The one that is shipped in the wheel, with the embedded model, to a submission without a guess."""
    (tmp_path / "one.jsonl").write_text(example_problems_path().read_text().splitlines()[0])
    notebook = Notebook.read(NOTEBOOKS / "submission.ipynb").with_settings({"PROBLEMS": "one.jsonl"})
    notebook.write(tmp_path / "submission.ipynb")
    command = [
        "-m",
        "jupyter",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--output",
        "executed",
        "submission.ipynb",
    ]
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE", "PYTHON", "VIRTUAL"))}
    subprocess.run([offline_python, *command], cwd=tmp_path, env=keep, check=True)
    (output,) = (tmp_path / "runs").iterdir()
    assert read_run(output / "run").solutions["is_fallback"].tolist() == [False]
    assert (output / "submission.parquet").is_file()
