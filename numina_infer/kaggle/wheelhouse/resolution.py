"""From what is wanted to the one set of releases: by uv for another interpreter, by pip for the one that runs.

pip evaluates markers for the interpreter that it runs on, whatever target it is told, so it can't resolve for Kaggle;
uv can. For the interpreter that runs pip is asked, because what it is configured with, such as local files and caps
on versions, is then honoured.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from numina_infer.core.errors import WheelError
from numina_infer.kaggle.wheelhouse.download import sha256_of
from numina_infer.kaggle.wheelhouse.registry import RemoteWheel, without_addresses
from numina_infer.kaggle.wheelhouse.target import Target


@dataclass(frozen=True, slots=True)
class Pin:
    """One release."""

    name: str
    version: str
    path: Path | None = None
    """The wheel itself, where it was given as a file."""


def resolve_for(
    target: Target, requirements: Sequence[str], constraints: Sequence[Path], *, index_url: str
) -> tuple[Pin, ...]:
    """Every release that `requirements` need on `target`, wheels only.

    Raises:
        WheelError: uv finds no set, can't reach the index, or isn't installed.
    """
    options = ["--python-version", target.python, "--python-platform", target.uv_platform, "--only-binary", ":all:"]
    plain = ["--no-header", "--no-annotate", "--no-config", "--no-python-downloads", "--quiet"]
    limits = [word for path in constraints for word in ("--constraint", str(path))]
    command = [find_uv(), "pip", "compile", *options, *plain, *limits, "-"]
    own = {key: value for key, value in os.environ.items() if not key.startswith("UV_") or key == "UV_CACHE_DIR"}
    done = _run(command, own | {"UV_DEFAULT_INDEX": index_url}, "\n".join(requirements))
    return tuple(_pin(line) for line in done.splitlines() if line.strip())


def _pin(line: str) -> Pin:
    name, separator, rest = line.partition(" @ ")
    if separator:
        from packaging.utils import parse_wheel_filename

        path = Path(unquote(urlsplit(rest.strip()).path))
        return Pin(name.partition("[")[0], str(parse_wheel_filename(path.name)[1]), path)
    name, _, version = line.strip().partition("==")
    return Pin(name.partition("[")[0], version)


def resolve_here(requirements: Sequence[str], constraints: Sequence[Path]) -> tuple[RemoteWheel, ...]:
    """The wheels that pip would install into an empty environment of the interpreter that runs.

    Raises:
        WheelError: pip finds no set, or can't reach the index.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--only-binary", ":all:", "--quiet", "--report", str(report)]
        limits = [word for path in constraints for word in ("--constraint", str(path))]
        _run([sys.executable, "-m", "pip", "install", *options, *limits, *requirements], dict(os.environ))
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return tuple(map(_wheel, installed))


def _wheel(entry: dict[str, Any]) -> RemoteWheel:
    url = entry["download_info"]["url"]
    archive = entry["download_info"].get("archive_info", {})
    sha256 = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256=")
    path = Path(unquote(urlsplit(url).path))
    is_local = urlsplit(url).scheme == "file"
    if is_local and not sha256:
        sha256 = sha256_of(path)
    size = path.stat().st_size if is_local else None
    return RemoteWheel(entry["metadata"]["name"], entry["metadata"]["version"], path.name, url, sha256, size)


def find_uv() -> str:
    """The path of uv, out of the package of that name.

    Raises:
        WheelError: it isn't installed.
    """
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise WheelError("uv isn't installed; run: pip install 'numina-infer[kernel]'") from error


def _run(command: Sequence[str], environment: dict[str, str], text: str | None = None) -> str:
    done = subprocess.run(  # noqa: S603 (our own words, and no shell)
        command, input=text, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = without_addresses(done.stderr.strip() or done.stdout.strip())
        raise WheelError(f"the wheels can't be resolved:\n{said}")
    return done.stdout
