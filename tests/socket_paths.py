"""Folders for the sockets of tests, whose paths the kernel takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from numina_infer.engines.vllm.server_place import socket_root

_DEEPEST = "numina-12345678/numina-infer-4294967295/0123456789abcdef-12345678/socket"
"""A server of ours, with the folder here as the one for temporary files."""


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder whose path leaves room for a socket's, wherever temporary files go."""
    with TemporaryDirectory(prefix="numina-", dir=socket_root(_DEEPEST)) as folder:
        yield Path(folder)
