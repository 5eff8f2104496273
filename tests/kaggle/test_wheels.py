"""What a wheelhouse tells by the names and tables of its wheels."""

from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.wheel_prefix import locked_packages, read_wheels
from tests.kaggle.wheel_maker import make_wheel, write_lock


@pytest.mark.parametrize(
    ("package", "version", "cuda"),
    [
        ("nvidia_cuda_runtime_cu12", "12.8.90", (12, 8)),
        ("nvidia_cuda_runtime", "13.0.96", (13, 0)),
        ("numpy", "2.3", None),
    ],
)
def test_cuda_is_that_of_the_runtime_in_it(
    tmp_path: Path, package: str, version: str, cuda: tuple[int, int] | None
) -> None:
    """Which package it comes in changed its name with CUDA 13."""
    make_wheel(tmp_path, package, version)
    write_lock(tmp_path)
    assert read_wheels(tmp_path).cuda == cuda


def test_the_pythons_are_those_that_something_is_built_for(tmp_path: Path) -> None:
    """A wheel for every Python, or for one and all later, says nothing."""
    make_wheel(tmp_path, "rich", "14.0")
    make_wheel(tmp_path, "vllm", "0.19.1", tag="cp38-abi3-manylinux_2_31_x86_64")
    write_lock(tmp_path)
    assert read_wheels(tmp_path).pythons == frozenset()
    make_wheel(tmp_path, "torch", "2.10.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    assert read_wheels(tmp_path).pythons == {(3, 12)}


def test_the_size_is_that_of_what_is_in_the_wheels(tmp_path: Path) -> None:
    """In bytes."""
    make_wheel(tmp_path, "zeros", code="0" * 10_000)
    write_lock(tmp_path)
    wheels = read_wheels(tmp_path)
    assert 10_000 < wheels.unpacked_bytes < 11_000


def test_what_is_locked_and_not_there_is_missing(tmp_path: Path) -> None:
    """Names are compared as pip does, whatever their case and separators."""
    make_wheel(tmp_path, "Typing_Extensions", "4.0")
    gone = make_wheel(tmp_path, "torch")
    write_lock(tmp_path)
    assert read_wheels(tmp_path).missing == ()
    gone.unlink()
    assert read_wheels(tmp_path).missing == ("torch",)
    assert locked_packages("a.b==1 ; python_version == '3.12' \\\n    --hash=sha256:00\nc-d==2\n") == ("a-b", "c-d")


def test_a_wheel_that_was_cut_short_is_named(tmp_path: Path) -> None:
    """Uploads of several GB break."""
    wheel = make_wheel(tmp_path, "torch")
    write_lock(tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=r"torch-1\.0-py3-none-any\.whl isn't a whole wheel"):
        read_wheels(tmp_path)
