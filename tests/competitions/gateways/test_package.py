"""Kaggle's own package: where it is looked for, and what runs it. What is found are stand-ins that tests write."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from numina_infer.competitions.gateways import AimoGateway
from numina_infer.competitions.kaggle_package import PATH_VARIABLE, find_package, kaggle_gateway, load_package
from numina_infer.competitions.known import COMPETITIONS, Competition
from numina_infer.core.errors import ConfigError, GatewayError

AIMO_1, AIMO_2, AIMO_3 = (COMPETITIONS[name] for name in ("aimo-1", "aimo-2", "aimo-3"))

SERVER = """\
class Error(Exception):
    def __init__(self):
        self.error_type, self.error_details = "INVALID_SUBMISSION", "two rows"

class AIMO3InferenceServer:
    calls = []
    def __init__(self, predict):
        self.predict = predict
    def serve(self):
        self.calls.append(("serve", self.predict("a", "1+1?").rows()))
    def run_local_gateway(self, data_paths=None):
        self.calls.append((data_paths, self.predict("a", "1+1?").rows()))
        if data_paths is None:
            raise Error
"""


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No stand-in outlives its test, and none of this machine's is found."""
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in {"aimo", "kaggle_evaluation"}]:
        del sys.modules[name]


def put_package(folder: Path, source: str = SERVER, competition: Competition = AIMO_3) -> Path:
    """A stand-in for `competition`'s package in `folder`."""
    package = folder / "kaggle_evaluation"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / f"{competition.package.rpartition('.')[2]}.py").write_text(source)
    return folder


@pytest.mark.parametrize("layout", [".", "competitions"])
def test_it_is_found_in_both_layouts_of_the_input_folder(tmp_path: Path, layout: str) -> None:
    """The folder is the one to import from."""
    folder = put_package(tmp_path / layout / AIMO_3.slug)
    assert find_package(AIMO_3, [tmp_path / "none", tmp_path]) == folder
    module = load_package(AIMO_3, [tmp_path])
    assert module is not None
    assert module.AIMO3InferenceServer.__name__ == AIMO_3.server_class


@pytest.mark.parametrize("inner", [".", "kaggle_evaluation"])
def test_a_named_place_goes_before_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str) -> None:
    """Named as the package or as the folder that holds it."""
    put_package(tmp_path / AIMO_3.slug)
    named = put_package(tmp_path / "mine")
    monkeypatch.setenv(PATH_VARIABLE, str(named / inner))
    assert find_package(AIMO_3, [tmp_path]) == named


def test_a_named_place_without_it_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another would be taken without a word otherwise."""
    put_package(tmp_path / AIMO_3.slug)
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"KAGGLE_EVALUATION_PATH is .*empty.*mend or unset"):
        find_package(AIMO_3, [tmp_path])


def test_it_is_found_on_the_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever has put it there."""
    monkeypatch.syspath_prepend(put_package(tmp_path))
    assert find_package(AIMO_3, []) == tmp_path


def test_another_competitions_package_is_none(tmp_path: Path) -> None:
    """AIMO-2's has another server in it."""
    put_package(tmp_path / AIMO_3.slug, competition=AIMO_2)
    assert find_package(AIMO_3, [tmp_path]) is None
    assert load_package(AIMO_3, [tmp_path]) is None


def test_a_binary_for_another_python_is_named(tmp_path: Path) -> None:
    """The 2024 module is one for Python 3.10."""
    (tmp_path / AIMO_1.slug / "aimo").mkdir(parents=True)
    (tmp_path / AIMO_1.slug / "aimo" / "__init__.py").write_text("from aimo.competition import make_env\n")
    (tmp_path / AIMO_1.slug / "aimo" / "competition.cpython-310-x86_64-linux-gnu.so").write_bytes(b"")
    with pytest.raises(GatewayError, match=r"aimo is in .* can't be imported by Python 3\.\d+: ModuleNotFound"):
        load_package(AIMO_1, [tmp_path])


@pytest.mark.parametrize("source", ["import sys; sys.exit(1)", "raise TypeError('descriptors')", "import no_such"])
def test_a_package_that_breaks_while_it_loads_is_a_gateway_error(tmp_path: Path, source: str) -> None:
    """It even ends the interpreter where its generated files are missing."""
    put_package(tmp_path / AIMO_3.slug, source)
    with pytest.raises(GatewayError, match="can't be imported"):
        load_package(AIMO_3, [tmp_path])


def test_the_packages_server_serves_in_a_rerun(tmp_path: Path) -> None:
    """With our predict."""
    put_package(tmp_path / AIMO_3.slug)
    kaggle_gateway(AIMO_3, pytest.fail, is_rerun=True, roots=[tmp_path]).serve(lambda _: 52)
    module = load_package(AIMO_3, [tmp_path])
    assert module is not None
    assert module.AIMO3InferenceServer.calls == [("serve", [("a", 52)])]


def test_the_packages_local_gateway_asks_elsewhere(tmp_path: Path) -> None:
    """For the problems of a file."""
    put_package(tmp_path / AIMO_3.slug)
    problems = tmp_path / "test.csv"
    kaggle_gateway(AIMO_3, pytest.fail, is_rerun=False, problems=problems, roots=[tmp_path]).serve(lambda _: 52)
    module = load_package(AIMO_3, [tmp_path])
    assert module is not None
    assert module.AIMO3InferenceServer.calls == [((str(problems),), [("a", 52)])]


def test_what_the_package_aborts_with_is_said(tmp_path: Path) -> None:
    """Its own errors have no text."""
    put_package(tmp_path / AIMO_3.slug)
    gateway = kaggle_gateway(AIMO_3, pytest.fail, is_rerun=False, roots=[tmp_path])
    with pytest.raises(GatewayError, match="aborted the run: INVALID_SUBMISSION: two rows"):
        gateway.serve(lambda _: 52)


def test_the_2024_module_is_iterated_over(tmp_path: Path) -> None:
    """Its `make_env` gives the environment."""
    (tmp_path / AIMO_1.slug).mkdir()
    (tmp_path / AIMO_1.slug / "aimo.py").write_text("def make_env():\n    return None\n")
    assert isinstance(kaggle_gateway(AIMO_1, pytest.fail, is_rerun=True, roots=[tmp_path]), AimoGateway)


def test_what_is_missing_is_an_error_to_mend_outside_a_rerun(tmp_path: Path) -> None:
    """The message says what to attach, and what to set."""
    with pytest.raises(GatewayError, match=rf"attach the competition {AIMO_3.slug} .*KAGGLE_EVALUATION_PATH"):
        kaggle_gateway(AIMO_3, pytest.fail, is_rerun=False, roots=[tmp_path])
    with pytest.raises(GatewayError, match="attach"):
        kaggle_gateway(AIMO_1, pytest.fail, is_rerun=True, roots=[tmp_path])


def test_in_a_rerun_our_own_server_takes_a_missing_packages_place(tmp_path: Path) -> None:
    """A kernel that ends has lost; it is said what happened."""
    said: list[str] = []
    gateway = kaggle_gateway(AIMO_3, said.append, is_rerun=True, roots=[tmp_path])
    assert [line.endswith("our own inference server takes its place") for line in said] == [True]
    assert hasattr(gateway, "serve")


@pytest.mark.parametrize("where", ["__init__(self, predict)", "serve(self)"])
def test_in_a_rerun_our_own_server_takes_the_place_of_one_that_does_not_start(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it breaks when it is made or when it is to listen; one that has asked for something isn't replaced."""
    served: list[object] = []
    monkeypatch.setattr("numina_infer.competitions.kaggle_package.own_server", lambda _: served.append)
    other = "serve(self): pass" if where.startswith("__init__") else "__init__(self, predict): pass"
    source = f"class AIMO3InferenceServer:\n    def {where}:\n        raise RuntimeError('no port')\n    def {other}\n"
    put_package(tmp_path / AIMO_3.slug, source)
    said: list[str] = []
    kaggle_gateway(AIMO_3, said.append, is_rerun=True, roots=[tmp_path]).serve(lambda _: 52)
    assert len(served) == 1
    assert "no port" in said[0]


def test_a_server_that_broke_after_a_reply_is_not_replaced(tmp_path: Path) -> None:
    """Two of them could answer one run."""
    source = SERVER.replace(
        '        self.calls.append(("serve"',
        "        self.predict('a', '1+1?')\n        raise RuntimeError('late')\n        self.calls.append((\"serve\"",
    )
    put_package(tmp_path / AIMO_3.slug, source)
    with pytest.raises(RuntimeError, match="late"):
        kaggle_gateway(AIMO_3, pytest.fail, is_rerun=True, roots=[tmp_path]).serve(lambda _: 52)


def test_a_package_without_its_server_is_named(tmp_path: Path) -> None:
    """The class is what `server_class` says."""
    put_package(tmp_path / AIMO_3.slug, "")
    with pytest.raises(GatewayError, match="has no AIMO3InferenceServer"):
        kaggle_gateway(replace(AIMO_3), pytest.fail, is_rerun=False, roots=[tmp_path])
