"""Which interpreter has vLLM."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.engines.vllm import launch
from numina_infer.engines.vllm.launch import PYTHON_VARIABLE, find_vllm_python


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No vLLM in any of the places."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(launch, "__file__", str(tmp_path / "package" / "engines" / "vllm" / "launch.py"))


def executable(path: Path) -> Path:
    """A file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def test_the_one_that_is_named_wins_over_the_environment_and_that_over_what_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each as an absolute path."""
    built = executable(tmp_path / ".venv-vllm" / "bin" / "python")
    assert find_vllm_python() == built
    in_environment = executable(tmp_path / "b" / "python")
    monkeypatch.setenv(PYTHON_VARIABLE, str(in_environment))
    assert find_vllm_python() == in_environment
    executable(tmp_path / "a" / "python")
    assert find_vllm_python("a/python") == tmp_path / "a" / "python"


def test_a_link_to_an_interpreter_stays_one(tmp_path: Path) -> None:
    """A virtual environment is known by where its link lies."""
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert find_vllm_python(str(link)) == link


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a text"])
def test_one_that_cannot_be_run_is_named(kind: str, tmp_path: Path) -> None:
    """With what to give instead."""
    named = tmp_path / "python"
    if kind == "a folder":
        named.mkdir()
    elif kind == "a text":
        named.write_text("")
        assert not os.access(named, os.X_OK)
    with pytest.raises(ConfigError, match=r"vllm_python is .*which can't be run; name the python"):
        find_vllm_python(str(named))


def test_where_there_is_none_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless this interpreter has it itself."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="`make vllm` builds"):
        find_vllm_python()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert find_vllm_python() == Path(sys.executable)
