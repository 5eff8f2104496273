"""A package index for tests: small wheels behind the JSON API, on this machine, with transfers that break."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import serving


def make_wheel(name: str, version: str, requires: Sequence[str] = (), *, tag: str = "py3-none-any") -> bytes:
    """A wheel with one module, which pip and uv take for any other; the same bytes each time."""
    stem = f"{name}-{version}"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{path},,\n" for path in (*files, record))
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(zipfile.ZipInfo(path), text)
    return contents.getvalue()


@dataclass
class WheelIndex:
    """What it has and what was asked for."""

    port: int
    wheels: dict[str, bytes] = field(default_factory=dict)
    """By file name."""
    breaks_after: dict[str, list[int]] = field(default_factory=dict)
    """Bytes of the coming transfers of a file after which the connection ends; a further one is whole."""
    knows_ranges: bool = True
    tells_sizes: bool = True
    hash_name: str = "sha256"
    """Under which it tells hashes."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where a file lies that the index calls otherwise, by its file name."""
    transfers: list[tuple[str, int]] = field(default_factory=list)
    """A file name and the bytes that were sent of it."""

    @property
    def url(self) -> str:
        """As pip is told."""
        return f"http://127.0.0.1:{self.port}/simple"

    def add(self, name: str, version: str, requires: Sequence[str] = (), tag: str = "py3-none-any") -> str:
        """One more wheel; returns its file name."""
        filename = f"{name}-{version}-{tag}.whl"
        self.wheels[filename] = make_wheel(name, version, requires, tag=tag)
        return filename

    def page(self, name: str) -> dict[str, Any]:
        """What the JSON API says of a project."""
        names = [each for each in self.wheels if re.sub(r"[-_.]+", "-", each.split("-")[0]).lower() == name]
        return {"meta": {"api-version": "1.1"}, "name": name, "versions": [], "files": [*map(self._file, names)]}

    def _file(self, filename: str) -> dict[str, Any]:
        contents = self.wheels[filename]
        size = {"size": len(contents)} if self.tells_sizes else {}
        hashes = {self.hash_name: hashlib.new(self.hash_name, contents).hexdigest()}
        told = {"hashes": hashes, "yanked": False, "core-metadata": True}
        return {"filename": filename, "url": f"../../files/{self.moved.get(filename, filename)}"} | told | size


@contextmanager
def wheel_index() -> Iterator[WheelIndex]:
    """An empty index on a free port of this machine."""
    with serving(_Handler) as server:
        index = WheelIndex(server.server_port)
        server.index = index  # type: ignore[attr-defined] # the handler finds it there
        yield index


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._begin(200, self._index.wheels[self.path.rpartition("/")[2]])

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            page = self._index.page(self.path.split("/")[2])
            body = json.dumps(page).encode()
            self._begin(200 if page["files"] else 404, body, "application/vnd.pypi.simple.v1+json")
            self.wfile.write(body)
        else:
            name = self.path.rpartition("/")[2]
            if name.endswith(".metadata"):  # PEP 658
                self._send_metadata(name.removesuffix(".metadata"))
            else:
                self._send(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def _index(self) -> WheelIndex:
        return self.server.index  # type: ignore[attr-defined, no-any-return] # set by `wheel_index`

    def _send(self, filename: str) -> None:
        whole, wanted = (
            self._index.wheels[filename],
            re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""),
        )
        is_part = wanted is not None and self._index.knows_ranges
        first = int(wanted[1]) if wanted and is_part else 0
        if first >= len(whole):
            self._begin(416, b"")
            return
        rest = whole[first : int(wanted[2]) + 1 if wanted and is_part and wanted[2] else None]
        self._begin(206 if is_part else 200, rest, first=first, total=len(whole))
        breaks = self._index.breaks_after.get(filename)
        sent = rest[: breaks.pop(0)] if breaks else rest
        self._index.transfers.append((filename, len(sent)))
        self.wfile.write(sent)
        self.close_connection = len(sent) < len(rest)

    def _send_metadata(self, filename: str) -> None:
        with zipfile.ZipFile(io.BytesIO(self._index.wheels[filename])) as wheel:
            body = wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA")))
        self._begin(200, body)
        self.wfile.write(body)

    def _begin(
        self, status: int, body: bytes, kind: str = "application/octet-stream", first: int = 0, total: int = 0
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{total}")
        self.end_headers()
