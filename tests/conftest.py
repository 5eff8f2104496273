"""What all tests share."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.socket_paths import short_folder

# A property is a property on a slow machine too; speed is measured in benchmarks/. Examples are the same in every run,
# so that nothing fails on a tree that hasn't changed; `make fuzz` looks for new ones.
_STEADY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("change", _STEADY, max_examples=20)
settings.register_profile("ci", _STEADY, max_examples=100)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "5000")),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("change")

# A shell's background jobs ignore Ctrl-C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from tests.vllm.servers import RunningServer


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the library does."""
    return "asyncio"


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, wherever temporary files go."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded public data, where this checkout has one beside it; the test is skipped elsewhere."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    data = Path(os.environ.get("NUMINA_SHARED", beside)) / "data"
    if not data.is_dir():
        pytest.skip("the recorded data set is not on this machine; set NUMINA_SHARED to its folder")
    return data


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks that follow from what a test is, and what takes longest first, for processes that end together."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.property)
        if item.get_closest_marker("vllm") is not None:
            item.add_marker(pytest.mark.timeout(900))  # a real server takes a minute to start, more on a busy machine
        if item.get_closest_marker("torch") is not None and find_spec("torch") is None:
            item.add_marker(pytest.mark.skip("there is no PyTorch here"))
    items.sort(key=lambda item: item.get_closest_marker("model") is None)


@pytest.fixture(scope="session")
def tiny_server(tiny_model: Path) -> "Iterator[RunningServer]":
    """A real vLLM server with the tiny model."""
    from tests.vllm.servers import started, tiny_launch

    with started(tiny_launch(tiny_model)) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer Llama with random weights and a byte-level tokenizer, made here in a second."""
    from tests.tiny_model import make_tiny_model

    pytest.importorskip("torch")
    return make_tiny_model(tmp_path_factory.mktemp("tiny-llama"))
