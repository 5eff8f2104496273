"""vLLM's place is installed for real, from tiny wheels, without network and apart from this interpreter."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.kaggle import wheel_prefix
from numina_infer.kaggle.wheel_prefix import find_installed, install_vllm
from tests.kaggle.wheel_maker import make_wheel, write_lock
from tests.waiting import wait_until


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """Two wheels and their lock; the packages' names are no real ones."""
    folder = tmp_path / "input" / "wheels"
    make_wheel(folder, "vllm_stand_in", code="import sys\nwhere = sys.prefix\n")
    make_wheel(folder, "torch_stand_in", "2.10.0")
    write_lock(folder)
    return folder


def printed(python: Path, code: str) -> str:
    """What that interpreter prints."""
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def quiet(_: str) -> None:
    """Hear no progress."""


def test_wheels_are_installed_into_a_place_of_their_own(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not into the interpreter that serves."""
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told: list[str] = []
    python = install_vllm(wheelhouse, tmp_path / "scratch" / "prefix", told.append)
    assert python == tmp_path / "scratch" / "prefix" / "bin" / "python"
    assert printed(python, "import vllm_stand_in; print(vllm_stand_in.where)") == str(python.parents[1])
    assert printed(python, "import torch_stand_in; print(torch_stand_in.version)") == "2.10.0"
    ours = subprocess.run([sys.executable, "-I", "-c", "import vllm_stand_in"], capture_output=True, check=False)
    assert ours.returncode != 0
    assert not (tmp_path / "elsewhere").exists()
    assert "2 packages" in told[0]
    assert "was installed into" in told[-1]


def test_a_finished_install_is_found_again(wheelhouse: Path, tmp_path: Path) -> None:
    """Nothing of it is touched."""
    python = install_vllm(wheelhouse, tmp_path / "prefix", quiet)
    module = next(python.parents[1].glob("lib/*/site-packages/vllm_stand_in.py"))
    before = module.stat().st_ino
    told: list[str] = []
    assert install_vllm(wheelhouse, tmp_path / "prefix", told.append) == python
    assert module.stat().st_ino == before
    assert told == [f"vLLM is installed in {tmp_path / 'prefix'}"]


def test_another_lock_is_installed_anew(wheelhouse: Path, tmp_path: Path) -> None:
    """And what the older one had is gone."""
    python = install_vllm(wheelhouse, tmp_path / "prefix", quiet)
    next(wheelhouse.glob("torch*.whl")).unlink()
    make_wheel(wheelhouse, "torch_stand_in", "2.11.0")
    write_lock(wheelhouse)
    assert find_installed(wheelhouse, tmp_path / "prefix") is None
    install_vllm(wheelhouse, tmp_path / "prefix", quiet)
    assert printed(python, "import torch_stand_in; print(torch_stand_in.version)") == "2.11.0"


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bin/python", "lib/python3*/site-packages/torch_stand_in*.dist-info/RECORD"])
def test_a_broken_install_is_redone(wheelhouse: Path, tmp_path: Path, loss: str) -> None:
    """Its interpreter is gone, or a package."""
    python = install_vllm(wheelhouse, tmp_path / "prefix", quiet)
    next((tmp_path / "prefix").glob(loss)).unlink()
    assert find_installed(wheelhouse, tmp_path / "prefix") is None
    install_vllm(wheelhouse, tmp_path / "prefix", quiet)
    assert printed(python, "import torch_stand_in; print(torch_stand_in.version)") == "2.10.0"


def test_a_wheel_that_was_changed_is_refused(wheelhouse: Path, tmp_path: Path) -> None:
    """With pip's own words; and a repaired wheelhouse installs into the same place."""
    good = next(wheelhouse.glob("torch*.whl")).read_bytes()
    next(wheelhouse.glob("torch*.whl")).unlink()
    make_wheel(wheelhouse, "torch_stand_in", "2.10.0", code="changed = True\n")
    with pytest.raises(EngineError, match=r"(?s)couldn't be installed.*(hash|HASH|torch)"):
        install_vllm(wheelhouse, tmp_path / "prefix", quiet)
    next(wheelhouse.glob("torch*.whl")).write_bytes(good)
    assert install_vllm(wheelhouse, tmp_path / "prefix", quiet).is_file()


def test_a_missing_wheel_is_named(wheelhouse: Path, tmp_path: Path) -> None:
    """Nothing is looked for elsewhere."""
    next(wheelhouse.glob("torch*.whl")).unlink()
    with pytest.raises(EngineError, match=r"torch.stand.in==2\.10\.0"):
        install_vllm(wheelhouse, tmp_path / "prefix", quiet)


def test_nothing_of_somebody_elses_is_removed(wheelhouse: Path, tmp_path: Path) -> None:
    """A prefix with other things in it is refused; so is a file."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").touch()
    with pytest.raises(ConfigError, match="wasn't installed from here"):
        install_vllm(wheelhouse, tmp_path / "home", quiet)
    with pytest.raises(ConfigError, match="is no folder"):
        install_vllm(wheelhouse, tmp_path / "home" / "thesis", quiet)
    assert (tmp_path / "home" / "thesis").exists()


def test_a_folder_without_a_lock_is_no_wheelhouse(tmp_path: Path) -> None:
    """The error names what is missing."""
    with pytest.raises(ConfigError, match=r"requirements\.lock"):
        install_vllm(tmp_path, tmp_path / "prefix", quiet)


def test_without_pip_it_says_so(wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an interpreter that somebody stripped."""
    monkeypatch.setattr(wheel_prefix, "install_command", lambda *_: [sys.executable, "-ISm", "pip"])
    with pytest.raises(EngineError, match=r"couldn't be installed.*No module named pip"):
        install_vllm(wheelhouse, tmp_path / "prefix", quiet)


def endless(folder: Path) -> list[str]:
    """An installer that never comes to its end, and leaves its pid."""
    code = "import os, pathlib, signal, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); signal.pause()"
    return [sys.executable, "-c", code, str(folder / "pid")]


def pid_in(folder: Path) -> int:
    """The pid that the installer left, once it has."""
    file = folder / "pid"
    wait_until(lambda: file.is_file() and file.read_text())
    return int(file.read_text())


def is_gone(pid: int) -> bool:
    """Whether no such process is left."""
    return not Path(f"/proc/{pid}").exists()


def test_an_install_ends_with_us(wheelhouse: Path, tmp_path: Path) -> None:
    """However we end."""
    code = (
        "from pathlib import Path\n"
        "from numina_infer.kaggle import wheel_prefix\n"
        f"wheel_prefix.install_command = lambda *_: {endless(tmp_path)!r}\n"
        f"wheel_prefix.install_vllm(Path({str(wheelhouse)!r}), Path({str(tmp_path / 'prefix')!r}), print)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL) as process:
        pid = pid_in(tmp_path)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(pid))


def test_two_installs_into_one_place_take_turns(wheelhouse: Path, tmp_path: Path) -> None:
    """A cell that is run twice installs once."""
    told: list[str] = []
    threads = [Thread(target=install_vllm, args=(wheelhouse, tmp_path / "prefix", told.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("was installed into" in line for line in told) == 1
    assert sum("is installed in" in line for line in told) == 1
