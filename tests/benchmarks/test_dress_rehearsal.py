"""The dress rehearsal, in short: the submission notebook as a rerun on two T4s that aren't here."""

from pathlib import Path

import pytest

from benchmarks.dress_rehearsal import Scene, read_recorded, rehearse, turns
from benchmarks.recorded import NOT_HERE, data_folder
from numina_infer.engines.local.models import find_folder


def test_recorded_solutions_become_turns() -> None:
    """Each ends where an output is waited for; what was printed then isn't said again."""
    parts = [
        {"kind": "text", "content": "We count."},
        {"kind": "code", "content": "print(1)\n"},
        {"kind": "text", "content": "Run it."},
        {"kind": "output", "content": "1"},
        {"kind": "text", "content": "It is 1."},
    ]
    assert list(turns(parts)) == ["We count.\n```python\nprint(1)\n```Run it.\n```output\n", "It is 1."]


@pytest.mark.slow
@pytest.mark.relay
@pytest.mark.model
@pytest.mark.timeout(300)
def test_three_problems_are_answered_in_time(tmp_path: Path) -> None:
    """Notebook and relay in two processes, vLLM's place taken by a stand-in, programs that run, a scaled clock."""
    data = data_folder()
    if data is None:
        pytest.skip(NOT_HERE)
    everybody = read_recorded(data)
    scene = Scene(tmp_path / "scene", tuple(everybody[:3]), speed=30.0, start_s=30.0)
    scene.set(everybody, find_folder("smollm2", print))
    found = rehearse(scene)
    assert (found.answered, found.late, found.out_of_range, found.left) == (3, 0, 0, 0)
    assert found.fallbacks < 3
    assert found.tokens > 1000
    assert found.programs_ok > 0
