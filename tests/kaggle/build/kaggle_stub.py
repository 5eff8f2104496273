"""Kaggle's side of its command-line client, for tests: a server that takes every call and remembers what was sent.

The client is the real one, as a process of its own. It is told to speak to localhost, and takes this server for the
proxy on the way there, so that no privileged port is needed (facts of kaggle 2.2.4).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.loopback import serving

_REPLIES: dict[str, dict[str, Any]] = {
    "SaveKernel": {"ref": "/code/me/numina-infer-aimo-1", "url": "https://kaggle.test/k", "versionNumber": 1},
    "CreateDataset": {"ref": "me/numina-infer", "url": "https://kaggle.test/d", "status": "ok", "error": ""},
    "CreateModel": {"id": 1, "ref": "me/m", "url": "https://kaggle.test/m", "error": ""},
    "CreateModelInstance": {"id": 2, "ref": "me/m/transformers/default", "url": "https://kaggle.test/i", "error": ""},
}


@dataclass
class Stub:
    """What was sent, in order."""

    port: int
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """A call's name and its JSON."""
    blobs: dict[str, int] = field(default_factory=dict)
    """Files that were uploaded, with their sizes in bytes."""

    def sent(self, name: str) -> list[dict[str, Any]]:
        """The JSON of every call of that name."""
        return [content for called, content in self.calls if called == name]

    def run(self, arguments: Sequence[str], home: Path) -> str:
        """Run the real client and return what it printed."""
        own = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        told = {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{self.port}",
            "no_proxy": "",
            "KAGGLE_USERNAME": "me",
            "KAGGLE_KEY": "not-a-key",
            "KAGGLE_CONFIG_DIR": str(home),
            "HOME": str(home),
        }
        done = subprocess.run(
            [sys.executable, "-m", "kaggle", *arguments],
            env=own | told,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def kaggle_stub() -> Iterator[Stub]:
    """A server on a free port of this machine."""
    with serving(_Handler) as server:
        stub = Stub(server.server_port)
        server.stub = stub  # type: ignore[attr-defined] # the handler finds it there
        yield stub


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        name = urlsplit(self.path).path.rpartition("/")[2]
        content = json.loads(body) if body else {}
        self._stub.calls.append((name, content))
        if name == "GetDatasetStatus":  # there is none of that name yet
            self._reply({"code": 404, "message": "Not Found"}, 404)
        elif name == "StartBlobUpload":
            self._reply({"token": f"token-{content['name']}", "createUrl": f"http://localhost/blob/{content['name']}"})
        else:
            self._reply(_REPLIES[name])

    def do_PUT(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        self._stub.blobs[urlsplit(self.path).path.rpartition("/")[2]] = len(self.rfile.read(size))
        self._reply({})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def _stub(self) -> Stub:
        return self.server.stub  # type: ignore[attr-defined, no-any-return] # set by `kaggle_stub`

    def _reply(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
