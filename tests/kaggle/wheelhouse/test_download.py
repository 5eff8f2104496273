"""Wheels are fetched whole or not at all, and what has arrived is never fetched twice."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.download import fetch
from numina_infer.kaggle.wheelhouse.resolution import RemoteWheel
from tests.kaggle.wheelhouse.wheel_index import WheelIndex, wheel_index


@pytest.fixture
def index() -> Iterator[WheelIndex]:
    """With one wheel of 300,000 bytes."""
    with wheel_index() as running:
        running.wheels[NAME] = CONTENTS
        yield running


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    """One that goes straight there."""
    with httpx2.Client(trust_env=False) as open_client:
        yield open_client


NAME = "large-1-py3-none-any.whl"
CONTENTS = bytes(range(256)) * 1172


def wheel_of(index: WheelIndex) -> RemoteWheel:
    """As the index tells it."""
    url = f"http://127.0.0.1:{index.port}/files/{NAME}"
    return RemoteWheel("large", "1", NAME, url, hashlib.sha256(CONTENTS).hexdigest(), len(CONTENTS))


def ignore(_: int) -> None:
    """Nobody looks."""


def test_a_broken_transfer_goes_on_where_it_broke(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """However often, as long as it gets further; no byte is sent again, and what is told only grows."""
    index.breaks_after[NAME] = [100_000, 50_000, 10_000, 10_000]
    told: list[int] = []
    path = fetch(wheel_of(index), tmp_path, client, told.append)
    assert path.read_bytes() == CONTENTS
    assert [sent for _, sent in index.transfers] == [100_000, 50_000, 10_000, 10_000, len(CONTENTS) - 170_000]
    assert told == sorted(told)
    assert told[-1] == len(CONTENTS)
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_a_server_without_ranges_sends_it_anew(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """And the first part isn't kept in front of it."""
    index.knows_ranges = False
    index.breaks_after[NAME] = [100_000]
    assert fetch(wheel_of(index), tmp_path, client, ignore).read_bytes() == CONTENTS
    assert [sent for _, sent in index.transfers] == [100_000, len(CONTENTS)]


def test_a_transfer_that_gets_no_further_is_given_up(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """After a few tries; what has arrived is kept."""
    index.breaks_after[NAME] = [100_000, *[0] * 10]
    with pytest.raises(WheelError, match="can't be fetched"):
        fetch(wheel_of(index), tmp_path, client, ignore)
    assert [sent for _, sent in index.transfers] == [100_000, 0, 0, 0]
    assert (tmp_path / f"{NAME}.part").stat().st_size == 100_000


def test_ctrl_c_keeps_what_has_arrived(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """The next call asks for the rest alone; nothing that isn't whole is called a wheel."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    index.breaks_after[NAME] = [100_000]
    with pytest.raises(KeyboardInterrupt):
        fetch(wheel_of(index), tmp_path, client, interrupt)
    (part,) = tmp_path.iterdir()
    assert part.name == f"{NAME}.part"
    arrived = part.stat().st_size
    assert 0 < arrived <= 100_000
    index.breaks_after.clear()
    fetch(wheel_of(index), tmp_path, client, ignore)
    assert index.transfers[-1] == (NAME, len(CONTENTS) - arrived)


def test_a_wheel_that_is_here_is_not_fetched(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """If its hash is right; one that was changed is."""
    fetch(wheel_of(index), tmp_path, client, ignore)
    fetch(wheel_of(index), tmp_path, client, ignore)
    assert len(index.transfers) == 1
    (tmp_path / NAME).write_bytes(b"changed")
    assert fetch(wheel_of(index), tmp_path, client, ignore).read_bytes() == CONTENTS


def test_a_part_of_something_else_is_thrown_away(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """As is one that is too long already."""
    for junk in (b"x" * 1000, CONTENTS + b"more"):
        (tmp_path / f"{NAME}.part").write_bytes(junk)
        assert fetch(wheel_of(index), tmp_path, client, ignore).read_bytes() == CONTENTS
        (tmp_path / NAME).unlink()


def test_another_file_than_the_hash_says_is_refused(index: WheelIndex, client: httpx2.Client, tmp_path: Path) -> None:
    """Nothing of it stays."""
    with pytest.raises(WheelError, match="isn't what its hash says"):
        fetch(replace(wheel_of(index), sha256="0" * 64), tmp_path, client, ignore)
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_gone_is_told_without_its_address(client: httpx2.Client, tmp_path: Path) -> None:
    """An address may hold a password."""
    with wheel_index() as index:
        wheel = replace(wheel_of(index), url=f"http://user:secret@127.0.0.1:{index.port}/files/{NAME}")
    with pytest.raises(WheelError, match=f"{NAME} can't be fetched") as caught:
        fetch(wheel, tmp_path, client, ignore)
    assert "secret" not in str(caught.value)
