"""Completions on disk."""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import ConfigError
from numina_infer.core.records import Completion, FinishReason
from numina_infer.engines.cached_engine import CacheFolder, CacheSize

KEY = "ab" + 62 * "0"
SAID = Completion("It is $\\boxed{3}$.", (1, 2, 3), FinishReason.EOS, num_tokens=4, cumulative_logprob=-0.1, seed=7)


def open_folder(path: Path) -> tuple[CacheFolder, list[str]]:
    """A cache folder, and what it reports."""
    told: list[str] = []
    return CacheFolder(path, told.append), told


def the_file(path: Path) -> Path:
    """Of `KEY`."""
    return path / KEY[:2] / f"{KEY[2:]}.json"


@given(
    st.builds(
        Completion,
        text=st.text(),
        token_ids=st.lists(st.integers(0, 2**40)).map(tuple),
        finish_reason=st.sampled_from(FinishReason),
        stop_reason=st.none() | st.text(),
        tail=st.text() | st.just("\ud800"),
        num_tokens=st.integers(0, 99),
        cumulative_logprob=st.none() | st.floats(allow_nan=False) | st.just(-math.inf),
        seed=st.integers(0, 2**31 - 1),
    )
)
def test_a_completion_comes_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, completion: Completion) -> None:
    """Halves of characters, endless log-probabilities and all."""
    folder, told = open_folder(tmp_path_factory.mktemp("cache"))
    folder.put(KEY, completion)
    assert folder.get(KEY) == completion
    assert told == []


def test_what_was_never_kept_is_missing(tmp_path: Path) -> None:
    """Nothing is said of it, and no folder is made."""
    folder, told = open_folder(tmp_path / "none")
    assert folder.get(KEY) is None
    assert folder.size == CacheSize(0, 0)
    assert told == []
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a whole entry."""
    path = tmp_path_factory.mktemp("whole")
    open_folder(path)[0].put(KEY, SAID)
    return the_file(path).read_bytes()


@given(data=st.data())
def test_an_entry_that_is_cut_or_changed_anywhere_is_missing_and_said_once(
    tmp_path_factory: pytest.TempPathFactory, entry: bytes, data: st.DataObject
) -> None:
    """Whatever a disk does to it, nothing else than what was kept comes back; the next completion takes its place."""
    at = data.draw(st.integers(0, len(entry) - 1))
    flipped = entry[at] ^ data.draw(st.integers(1, 255))
    damaged = data.draw(st.sampled_from([entry[:at], entry[:at] + bytes([flipped]) + entry[at + 1 :]]))
    path = tmp_path_factory.mktemp("cache")
    folder, told = open_folder(path)
    folder.put(KEY, SAID)
    the_file(path).write_bytes(damaged)
    assert folder.get(KEY) is None
    assert folder.get(KEY) is None
    assert len(told) == 1
    folder.put(KEY, SAID)
    assert folder.get(KEY) == SAID


@pytest.mark.parametrize(
    "foreign",
    [b"", b"null", b"[]", b'"x"', b"{}", b"\xff", b"[" * 100_000, b'{"format_version": 1}'],
    ids=["empty", "null", "list", "text", "nothing in it", "no UTF-8", "deep", "half"],
)
def test_a_foreign_file_is_no_completion(tmp_path: Path, foreign: bytes) -> None:
    """Nobody's file ends a run."""
    folder, told = open_folder(tmp_path)
    folder.put(KEY, SAID)
    the_file(tmp_path).write_bytes(foreign)
    assert folder.get(KEY) is None
    assert len(told) == 1


def test_an_entry_is_for_its_own_key(tmp_path: Path) -> None:
    """A file that somebody renamed answers nothing."""
    folder, _ = open_folder(tmp_path)
    folder.put(KEY, SAID)
    other = "ab" + 62 * "1"
    the_file(tmp_path).rename(the_file(tmp_path).with_name(f"{other[2:]}.json"))
    assert folder.get(other) is None


def test_a_later_format_is_not_read(tmp_path: Path) -> None:
    """Nor guessed at."""
    folder, _ = open_folder(tmp_path)
    folder.put(KEY, SAID)
    content = json.loads(the_file(tmp_path).read_bytes())
    the_file(tmp_path).write_text(json.dumps({**content, "format_version": 2}))
    assert folder.get(KEY) is None


def test_a_disk_that_takes_nothing_is_said_once(tmp_path: Path) -> None:
    """The run goes on without."""
    folder, told = open_folder(tmp_path)
    (tmp_path / KEY[:2]).write_text("in the way")
    folder.put(KEY, SAID)
    folder.put(KEY, SAID)
    assert len(told) == 1
    assert "takes nothing more, and the run goes on" in told[0]


def test_a_disk_that_fills_up_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun beside the place is taken away again."""
    folder, told = open_folder(tmp_path)

    def fill_up(draft: Path, content: bytes) -> int:
        with draft.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", fill_up)
        folder.put(KEY, SAID)
    assert list((tmp_path / KEY[:2]).iterdir()) == []
    assert "No space left on device" in told[0]
    folder.put(KEY, SAID)
    assert folder.get(KEY) == SAID


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Said before anything runs."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        open_folder(tmp_path / "cache")


def test_clearing_takes_entries_and_drafts_and_nothing_else(tmp_path: Path) -> None:
    """A wrong folder costs nobody a file."""
    folder, _ = open_folder(tmp_path)
    folder.put(KEY, SAID)
    draft = the_file(tmp_path).with_name(f".{KEY[2:]}.77-0.tmp")
    others = [tmp_path / "notes.json", tmp_path / KEY[:2] / "notes.json", tmp_path / "abc"]
    for file in (draft, *others):
        file.write_text("mine")
    assert folder.size == CacheSize(1, the_file(tmp_path).stat().st_size)
    assert folder.clear().num_entries == 1
    assert folder.get(KEY) is None
    assert not draft.exists()
    assert all(file.read_text() == "mine" for file in others)


def keep_many(path: Path, seed: int) -> int:
    """Keep and read the same keys over and over; how often one read wasn't whole."""
    folder, told = open_folder(path)
    for number in range(200):
        key = f"{number % 20:064x}"
        folder.put(key, Completion(f"{number % 20} " * 300, (), FinishReason.EOS, seed=number % 20))
        found = folder.get(key)
        assert found is not None, seed
        assert found.seed == number % 20
    return len(told)


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """None sees half of what another writes."""
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        complaints = list(processes.map(keep_many, [tmp_path] * 3, range(3)))
    assert complaints == [0, 0, 0]
    assert open_folder(tmp_path)[0].size.num_entries == 20
