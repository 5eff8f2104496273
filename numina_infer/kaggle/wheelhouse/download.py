"""Downloads wheels into a folder, checks their hashes, and resumes a transfer that broke off.

An unfinished wheel is called `NAME.part` until it is whole and its hash is right, so a file that ends in
`.whl` is good. A server without range requests (RFC 9110 §14) sends the whole file again. pip and uv check hashes too,
but keep nothing of a file that broke off, and vLLM's wheels have up to 900 MB.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.resolution import RemoteWheel, without_addresses

if TYPE_CHECKING:
    import httpx2

Advance = Callable[[int], None]
"""Called with the number of bytes of a wheel that have arrived."""


def open_client() -> "httpx2.Client":
    """A client for `fetch`."""
    import httpx2

    return httpx2.Client(follow_redirects=True, timeout=60.0)


def sha256_of(path: Path) -> str:
    """The hash of a file of any size, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    wheel: RemoteWheel, folder: Path, client: "httpx2.Client", advance: Advance = lambda _: None, tries: int = 3
) -> Path:
    """Download one wheel into `folder` and return its path; a wheel that is there already isn't sent again.

    A transfer that breaks is resumed; a whole file with another hash is thrown away and fetched anew.

    Raises:
        WheelError: it broke `tries` times without getting any further, or its hash is another.
    """
    import httpx2

    path, part = folder / wheel.filename, folder / f"{wheel.filename}.part"
    if path.is_file() and sha256_of(path) == wheel.sha256:
        advance(path.stat().st_size)
        return path
    furthest, failures = 0, 0
    while failures < tries:
        try:
            _append(wheel, part, client, advance)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
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
    """Fetch what `part` lacks."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", wheel.url, headers=headers) as reply:
        if reply.status_code == 416:  # there is no more than what is here
            return
        reply.raise_for_status()
        with part.open("ab" if reply.status_code == 206 else "wb") as file:
            for piece in reply.iter_raw():
                file.write(piece)
                advance(file.tell())
