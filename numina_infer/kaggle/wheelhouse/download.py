"""Wheels fetched one after the other into a folder, each held to its hash, each going on where it broke off.

What has arrived of a wheel lies beside it as `NAME.part` until it is whole and its hash is right, so a file that ends
in `.whl` is good. A server that can't send the rest of a file (HTTP range requests, RFC 9110 §14) sends it anew.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.registry import RemoteWheel, without_addresses

if TYPE_CHECKING:
    import httpx2

_PIECE = 1024 * 1024

Advance = Callable[[int], None]
"""Told how many bytes of a wheel are here by now."""


def sha256_of(path: Path) -> str:
    """Of a file of any size, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_here(wheel: RemoteWheel, folder: Path) -> bool:
    """Whether the wheel lies in the folder, whole."""
    path = folder / wheel.filename
    return path.is_file() and sha256_of(path) == wheel.sha256


def fetch(wheel: RemoteWheel, folder: Path, client: "httpx2.Client", advance: Advance, tries: int = 3) -> Path:
    """Bring one wheel into `folder` and return its path; nothing is sent for where it is there already.

    A transfer that breaks is taken up again; a whole file with another hash is thrown away and fetched anew.

    Raises:
        WheelError: it broke `tries` times without getting any further, or what comes isn't what its hash says.
    """
    path, part = folder / wheel.filename, folder / f"{wheel.filename}.part"
    if is_here(wheel, folder):
        advance(path.stat().st_size)
        return path
    furthest, failures = 0, 0
    while failures < tries:
        try:
            _append(wheel, part, client, advance)
        except _broken() as error:
            here = part.stat().st_size if part.exists() else 0
            failures = 0 if here > furthest else failures + 1
            furthest = max(furthest, here)
            if failures == tries:
                raise WheelError(f"{wheel.filename} can't be fetched: {without_addresses(str(error))}") from None
            continue
        if sha256_of(part) == wheel.sha256:
            return part.rename(path)
        part.unlink()
        failures += 1
    raise WheelError(f"{wheel.filename} isn't what its hash says; what was fetched of it is thrown away")


def _append(wheel: RemoteWheel, part: Path, client: "httpx2.Client", advance: Advance) -> None:
    if urlsplit(wheel.url).scheme == "file":
        source = Path(unquote(urlsplit(wheel.url).path))
        part.unlink(missing_ok=True)
        _write(_pieces(source), part, advance)
        return
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", wheel.url, headers=headers) as reply:
        if reply.status_code == 416:  # there is no more than what is here
            return
        reply.raise_for_status()
        if reply.status_code != 206:
            part.unlink(missing_ok=True)
        _write(reply.iter_raw(), part, advance)


def _write(pieces: Iterator[bytes], part: Path, advance: Advance) -> None:
    with part.open("ab") as file:
        for piece in pieces:
            file.write(piece)
            advance(file.tell())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _broken() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.HTTPError, httpx2.StreamError)
