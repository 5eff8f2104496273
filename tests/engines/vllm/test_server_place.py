"""Where servers of ours lie: their sockets' paths are ones that the kernel takes."""

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from numina_infer.engines.vllm import server_place

KEY = "0123456789abcdef"


@pytest.mark.parametrize("length", [0, 30, 60, 90, 200])
def test_a_socket_can_be_bound_however_long_the_path_of_temporary_files_is(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that only its user may enter."""
    folder = tmp_path / ("x" * length)
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    place = server_place.owned(KEY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fsencode(place.socket))
        assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    finally:
        place.remove()
