"""The wheelhouse: resolved for its target, locked, whole, and gone on with after a break; on an index made here."""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.tags import Tag

from numina_infer.cli import main
from numina_infer.core.errors import ConfigError, WheelError
from numina_infer.kaggle import show_build as commands
from numina_infer.kaggle.build.check import check
from numina_infer.kaggle.wheelhouse import download
from numina_infer.kaggle.wheelhouse.offline_trial import find_python, install_faults, try_wheelhouse
from numina_infer.kaggle.wheelhouse.resolution import (
    Target,
    _signed,
    index_in,
    pip_index,
    resolve,
    tag_ranks,
    without_addresses,
)
from numina_infer.kaggle.wheelhouse.wheelhouse import Entry, Lock, WantedWheels, begin, find_wheels
from tests.kaggle.wheelhouse.wheel_index import WheelIndex, make_wheel, wheel_index

KAGGLE = Target()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WheelIndex]:
    """What pip is configured with, with a vLLM that has the traps of the real one."""
    with wheel_index() as running:
        monkeypatch.setenv("PIP_INDEX_URL", running.url)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        fill(running)
        yield running


def fill(index: WheelIndex) -> None:
    """Releases for other Pythons, newer than is asked for, for newer systems, and behind markers."""
    index.add("vllm", "0.19.1", ["torch==2.10.0", "backport; python_version < '3.12'", "native>=1", "tool[fast]"])
    index.add("torch", "2.10.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    index.add("torch", "2.10.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    index.add("torch", "2.11.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    index.add("native", "1.0", tag="cp38-abi3-manylinux_2_17_x86_64")
    index.add("native", "1.1", tag="cp312-cp312-manylinux_2_39_x86_64")
    index.add("tool", "3", ["quick; extra == 'fast'", "never; sys_platform == 'win32'"])
    index.add("quick", "1")


EXPECTED = {
    "vllm-0.19.1-py3-none-any.whl",
    "torch-2.10.0-cp312-cp312-manylinux_2_28_x86_64.whl",
    "native-1.0-cp38-abi3-manylinux_2_17_x86_64.whl",
    "tool-3-py3-none-any.whl",
    "quick-1-py3-none-any.whl",
}


def collect(out: Path, *more: str) -> int:
    """Run the command."""
    return main(["kaggle", "wheelhouse", "--owner", "me", "--out", str(out), *more])


@pytest.mark.slow
def test_wheels_are_those_of_kaggles_interpreter(index: WheelIndex, tmp_path: Path) -> None:
    """Not of the one that runs: tags, markers, extras and the C library."""
    out = tmp_path / "wheels"
    assert collect(out) == 0
    assert {path.name for path in out.glob("*.whl")} == EXPECTED
    assert {path.name for path in out.iterdir()} - EXPECTED == {"requirements.lock", "dataset-metadata.json"}
    trial = try_wheelhouse(out)
    assert trial.findings == ()
    assert trial.is_installed == (find_python(KAGGLE) is not None)


def test_the_lock_is_pips_own_format(index: WheelIndex, tmp_path: Path) -> None:
    """A hash an entry, no marker, no address; the first line says what for."""
    out = tmp_path / "wheels"
    collect(out)
    text = (out / "requirements.lock").read_text()
    heading, *lines = text.splitlines()
    assert heading == "# wheels of vllm==0.19.1 torch==2.10.0 for Python 3.12, glibc 2.31, x86_64"
    assert [
        line for line in lines if re.fullmatch(r"[a-z]+==[0-9.]+ \\|    --hash=sha256:[0-9a-f]{64}", line)
    ] == lines
    assert len(lines) == 2 * len(EXPECTED)
    assert "127.0.0.1" not in text
    assert ";" not in text


@pytest.mark.slow
def test_the_dataset_is_private_to_its_owner(index: WheelIndex, tmp_path: Path) -> None:
    """Under the name that `kaggle build` attaches by default."""
    collect(tmp_path / "wheels")
    content = json.loads((tmp_path / "wheels" / "dataset-metadata.json").read_text())
    assert content["id"] == "me/numina-infer-vllm-0-19-1"
    assert content["licenses"] == [{"name": "other"}]
    assert "127.0.0.1" not in json.dumps(content)


@pytest.mark.slow
def test_a_dry_run_fetches_nothing(index: WheelIndex, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows every wheel, its size and the sum."""
    assert collect(tmp_path / "wheels", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "5 wheels" in shown
    assert "torch" in shown
    assert not index.transfers
    assert not (tmp_path / "wheels").exists()
    assert collect(tmp_path / "wheels", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {wheel["filename"] for wheel in told["wheels"]} == EXPECTED
    assert told["total_bytes"] == sum(len(index.wheels[name]) for name in EXPECTED)
    assert (told["folder"], told["checked"]) == (None, None)
    assert str(index.port) not in json.dumps(told["wheels"])  # an address may hold a password


@pytest.mark.slow
def test_a_broken_collection_goes_on_with_the_same_versions(index: WheelIndex, tmp_path: Path) -> None:
    """A newer release doesn't change it, and what is here isn't fetched again."""
    out = tmp_path / "wheels"
    assert collect(out) == 0
    (out / "tool-3-py3-none-any.whl").unlink()
    index.add("quick", "2")
    index.transfers.clear()
    assert collect(out) == 0
    assert {path.name for path in out.glob("*.whl")} == EXPECTED
    assert [name for name, _ in index.transfers if name in EXPECTED] == ["tool-3-py3-none-any.whl"]


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    index: WheelIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was whole by then stays."""
    fetched: list[str] = []

    def interrupted(*arguments: object) -> Path:
        if len(fetched) == 2:
            raise KeyboardInterrupt
        path = download.fetch(*arguments)  # type: ignore[arg-type] # handed on
        fetched.append(path.name)
        return path

    with monkeypatch.context() as patched:
        patched.setattr(commands, "fetch", interrupted)
        assert collect(tmp_path / "wheels") == 130
    index.transfers.clear()
    assert collect(tmp_path / "wheels") == 0
    assert not set(fetched) & {name for name, _ in index.transfers}


@pytest.mark.slow
@pytest.mark.parametrize("is_there", [False, True])
def test_a_wheelhouse_that_cannot_be_begun_leaves_nothing(
    is_there: bool, index: WheelIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was there stays, and the same command begins anew."""
    out = tmp_path / "new" / "wheels"
    if is_there:
        out.mkdir(parents=True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Lock, "write", full)
        assert collect(out) == 1
    assert (out.parent.exists(), out.exists(), any(out.glob("*"))) == (is_there, is_there, False)
    assert collect(out) == 0


def test_a_wheelhouse_that_kaggle_would_refuse_is_not_collected(index: WheelIndex, tmp_path: Path) -> None:
    """Its name is too long for a dataset's, which is found before anything is asked for."""
    assert collect(tmp_path / "wheels", "--vllm", "0.19.1" + ".1" * 40) == 2
    assert not (tmp_path / "wheels").exists()
    assert not index.transfers


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--vllm", "0.20.0"], ["--python-version", "3.13"]])
def test_another_wheelhouse_is_not_mixed_in(index: WheelIndex, more: list[str], tmp_path: Path) -> None:
    """Nor are files that are no wheelhouse's."""
    assert collect(tmp_path / "wheels") == 0
    assert collect(tmp_path / "wheels", *more) == 2
    (tmp_path / "notes.txt").write_text("mine")
    assert collect(tmp_path, *more) == 2


@pytest.mark.slow
def test_what_has_no_wheel_is_told(index: WheelIndex, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In uv's words, without the index's address; nothing is left behind."""
    index.add("vllm", "0.21.0", ["nowhere==1"])
    assert collect(tmp_path / "wheels", "--vllm", "0.21.0") == 1
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert "127.0.0.1" not in said
    assert not (tmp_path / "wheels").exists()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse with nothing wrong."""
    folder = tmp_path_factory.mktemp("good")
    with wheel_index() as index, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PIP_INDEX_URL", index.url)
        patched.setenv("UV_CACHE_DIR", str(folder / "uv-cache"))
        patched.setenv("NO_PROXY", "127.0.0.1")
        fill(index)
        plan = find_wheels(WantedWheels(KAGGLE, owner="me"), folder / "wheels", lambda line: None)
        begin(plan, folder / "wheels")
        for name in EXPECTED:
            (folder / "wheels" / name).write_bytes(index.wheels[name])
    return folder / "wheels"


@pytest.fixture
def wheelhouse(good: Path, tmp_path: Path) -> Path:
    """One that may be spoilt."""
    return shutil.copytree(good, tmp_path / "wheels")


QUICK = "quick-1-py3-none-any.whl"
TORCH = "torch-2.10.0-cp312-cp312-manylinux_2_28_x86_64.whl"


def edit_lock(pattern: str, new: str) -> Callable[[Path], object]:
    """Change the lock's text."""

    def edit(folder: Path) -> None:
        lock = folder / "requirements.lock"
        lock.write_text(re.sub(pattern, new, lock.read_text()))

    return edit


def lose_quick(folder: Path) -> None:
    """From the folder and from the lock."""
    (folder / QUICK).unlink()
    edit_lock(r"quick==1 \\\n.*\n", "")(folder)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / QUICK).write_bytes(make_wheel("quick", "1") + b"?"), f"{QUICK}: it isn't what its hash"),
    (lambda folder: (folder / QUICK).unlink(), "requirements.lock: the wheel of quick 1 is missing; run numina-infer"),
    (lambda folder: (folder / f"{QUICK}.part").touch(), f"{QUICK}.part: it hasn't arrived whole"),
    (
        lambda folder: (folder / "a-1-py3-none-any.whl").write_bytes(make_wheel("a", "1")),
        "it isn't in the lock; remove",
    ),
    (lambda folder: (folder / "a.whl").touch(), "a.whl: a.whl isn't a wheel's name"),
    (
        lambda folder: (folder / TORCH).rename(folder / TORCH.replace("cp312", "cp311")),
        "torch==2.10.0 has no wheels with a matching Python ABI tag",
    ),
    (lambda folder: (folder / "more").mkdir(), "more/: an upload skips folders; remove it"),
    (lose_quick, "all versions of tool[fast] depend on quick"),
    (edit_lock("^#.*", "torch==2.10.0"), "requirements.lock doesn't begin with what it was made for"),
    (edit_lock("quick==1 ", "quick==1; python_version > '3' "), "name==version with one sha256 hash is wanted"),
    (lambda folder: (folder / "dataset-metadata.json").write_text("{"), "dataset-metadata.json holds no JSON"),
]


@pytest.mark.parametrize(("spoil", "expected"), FAULTS, ids=[expected for _, expected in FAULTS])
def test_a_fault_of_a_wheelhouse_is_found(
    wheelhouse: Path, spoil: Callable[[Path], object], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is uploaded."""
    spoil(wheelhouse)
    assert main(["kaggle", "check", str(wheelhouse), "--no-install"]) == 2
    assert expected in capsys.readouterr().out


def test_a_good_wheelhouse_is_read_or_installed(wheelhouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And which of the two is said."""
    assert main(["kaggle", "check", str(wheelhouse), "--no-install"]) == 0
    assert "read and right for Python 3.12, glibc 2.31, x86_64; not installed" in capsys.readouterr().out
    assert main(["kaggle", "check", str(wheelhouse), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"findings": [], "wheelhouse": "installed" if find_python(KAGGLE) else "read"}


def test_an_attached_wheelhouse_is_the_one_beside_the_kernel(wheelhouse: Path, tmp_path: Path) -> None:
    """The kernel must name the dataset that was collected."""
    root = tmp_path / "out"
    (root / "kernel").mkdir(parents=True)
    shutil.copytree(wheelhouse, root / "wheelhouse")
    checkout = Path(__file__).parents[3]
    content = json.loads((checkout / "kernel-metadata.json").read_text()) | {"code_file": "submission.ipynb"}
    (root / "kernel" / "kernel-metadata.json").write_text(json.dumps(content))
    shutil.copy(checkout / "notebooks" / "submission.ipynb", root / "kernel")
    found = [str(finding) for finding in check(root, may_install=False).findings]
    assert any("the wheelhouse me/numina-infer-vllm-0-19-1 isn't attached" in line for line in found)


@pytest.mark.slow
def test_what_does_not_install_is_found(tmp_path: Path) -> None:
    """With what pip says; here a lock whose hash is another's, on the interpreter that runs."""
    target = Target(f"3.{sys.version_info.minor}")
    (tmp_path / "quick-1-py3-none-any.whl").write_bytes(make_wheel("quick", "1"))
    Lock.of(("quick",), target, [Entry("quick", "1", "0" * 64)]).write(tmp_path)
    (finding,) = install_faults(tmp_path, sys.executable, tmp_path / "venv")
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in finding.what


words = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,3}){0,2}(\+cpu)?", fullmatch=True)
hashes = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
targets = st.builds(Target, st.sampled_from(["3.11", "3.12", "3.13"]), st.integers(17, 40), st.just("x86_64"))


@given(st.lists(words, min_size=1, max_size=3), targets, st.lists(st.builds(Entry, words, versions, hashes)))
def test_a_lock_is_read_as_written(wanted: list[str], target: Target, entries: list[Entry]) -> None:
    """And each line but the heading is a requirement that pip can read."""
    lock = Lock.of(wanted, target, entries)
    with tempfile.TemporaryDirectory() as folder:
        lock.write(Path(folder))
        assert Lock.read(Path(folder)) == lock
    for entry in entries:
        assert str(Requirement(str(entry).partition(" ")[0]).specifier) == f"=={entry.version}"


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("cp312-cp312-manylinux_2_17_x86_64", True),
        ("cp312-cp312-manylinux2014_x86_64", True),
        ("cp312-cp312-manylinux_2_31_x86_64", True),
        ("cp38-abi3-manylinux_2_31_x86_64", True),
        ("cp312-cp312-linux_x86_64", True),
        ("cp312-cp312-manylinux_2_32_x86_64", False),
        ("cp311-cp311-manylinux_2_17_x86_64", False),
        ("cp313-abi3-manylinux_2_17_x86_64", False),
        ("cp312-cp312-manylinux_2_17_aarch64", False),
        ("cp312-cp312-musllinux_1_2_x86_64", False),
        ("cp312-cp312-win_amd64", False),
    ],
)
def test_kaggles_tags(tag: str, fits: bool) -> None:
    """CPython 3.12 on Linux x86-64 with the C library that vLLM's wheels ask for."""
    assert (Tag(*tag.split("-")) in tag_ranks(KAGGLE)) is fits


@pytest.mark.parametrize("python", ["3", "2.7", "3.12.1", "python3"])
def test_a_python_that_is_no_version_is_refused(python: str) -> None:
    """With what would do."""
    with pytest.raises(ConfigError, match=r"it must be one like 3\.12"):
        Target(python)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("", "https://pypi.org/simple"),
        ("global.index-url='https://a.test/simple/'", "https://a.test/simple"),
        ("global.index-url='https://a.test'\ninstall.index-url='https://b.test'", "https://b.test"),
        ("global.index-url='https://a.test'\n:env:.index-url='https://c.test'", "https://c.test"),
        ("global.extra-index-url='https://d.test'", "https://pypi.org/simple"),
    ],
)
def test_the_index_is_the_one_that_pip_takes(listed: str, expected: str) -> None:
    """The environment's before the files', and without one PyPI."""
    assert index_in(listed).rstrip("/") == expected


@given(
    st.from_regex(r"[a-z]{1,8}:[a-z0-9]{1,8}@[a-z]{1,8}\.test/[a-z/]{0,9}", fullmatch=True),
    st.text("ab \n'", max_size=9),
)
def test_no_message_tells_an_address(address: str, text: str) -> None:
    """Neither its host nor what stands before it."""
    told = without_addresses(f"{text} https://{address} {text}")
    assert address.rstrip("/") not in told
    assert "https" not in told


@pytest.mark.slow
def test_the_best_wheel_is_taken(index: WheelIndex) -> None:
    """The most special tag, then the highest build; none where none fits."""
    index.add("many", "1", tag="py3-none-any")
    index.add("many", "1", tag="cp312-cp312-manylinux_2_17_x86_64")
    best = "many-1-10-cp312-cp312-manylinux_2_28_x86_64.whl"
    for build in ("2", "10"):
        index.wheels[best.replace("-10-cp", f"-{build}-cp")] = index.wheels["many-1-py3-none-any.whl"]
    assert [wheel.filename for wheel in resolve(["many"], KAGGLE)] == [best]
    with pytest.raises(WheelError, match="torch"):
        resolve(["torch==2.10.0"], Target("3.13"))
    with pytest.raises(WheelError, match="nothing-here"):
        resolve(["nothing-here==1"], KAGGLE)


@pytest.mark.slow
def test_a_wheel_has_the_name_that_the_index_gives_it(index: WheelIndex) -> None:
    """Its address may end otherwise."""
    name = index.add("stored", "1")
    index.moved[name] = "blob1"
    index.wheels["blob1"] = index.wheels[name]
    (wheel,) = resolve(["stored"], KAGGLE)
    assert (wheel.filename, wheel.url.rpartition("/")[2]) == (name, "blob1")


def test_a_wheel_without_a_sha256_is_refused_by_name(index: WheelIndex) -> None:
    """What arrives couldn't be checked."""
    index.add("weak", "1")
    index.hash_name = "md5"
    with pytest.raises(WheelError, match="tells no sha256 of weak-1-py3-none-any"):
        resolve(["weak"], KAGGLE)


def test_wheels_for_this_interpreter_are_tried_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is: uv looks along PATH alone."""
    monkeypatch.setenv("PATH", "")
    assert find_python(Target(f"3.{sys.version_info.minor}")) == sys.executable


def test_the_password_of_the_index_is_sent_to_its_host_alone(
    index: WheelIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uv asks with it, and leaves it out of the addresses that it writes."""
    signed = index.url.replace("//", "//user:secret@")
    monkeypatch.setenv("PIP_INDEX_URL", signed)
    (wheel,) = resolve(["quick"], KAGGLE)
    assert wheel.url == f"http://user:secret@127.0.0.1:{index.port}/files/{QUICK}"
    assert _signed("https://files.test/a.whl", signed) == "https://files.test/a.whl"


def registry_is_reached() -> bool:
    """Whether the index that pip is configured with answers at all."""
    try:
        return httpx2.get(f"{pip_index().rstrip('/')}/vllm/", follow_redirects=True).status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.mark.slow
def test_the_pinned_vllm_resolves_completely(tmp_path: Path) -> None:
    """For Kaggle's Python, on the real index: a wheel of the right kind and a size for everything it needs."""
    if not registry_is_reached():
        pytest.skip("the package index that pip is configured with can't be reached")
    plan = find_wheels(WantedWheels(KAGGLE), tmp_path / "wheels", lambda line: None)
    wheels = {wheel.name: wheel for wheel in plan.wheels}
    assert wheels["vllm"].version == "0.19.1"
    assert wheels["torch"].version == "2.10.0"
    assert {"transformers", "nvidia-cublas-cu12", "triton", "numpy"} <= wheels.keys()
    assert len(wheels) > 150
    assert all(wheel.size and re.fullmatch("[0-9a-f]{64}", wheel.sha256) for wheel in wheels.values())
    assert 4e9 < plan.total_bytes < 10e9
    assert "cp312" in wheels["torch"].filename
    assert not (tmp_path / "wheels").exists()
