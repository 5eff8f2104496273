"""The tuning notebook, executed from its first cell to its last on the run that is recorded beside the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(900)]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "tune_sampling.ipynb"


def test_the_notebook_executes_from_top_to_bottom(tmp_path: Path) -> None:
    """Every cell runs, curves and bars are drawn, the replay is exact, and the search ends with a sentence."""
    converting = ["-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", str(tmp_path)]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    subprocess.run([sys.executable, *converting, str(NOTEBOOK)], env=environment, check=True)
    cells = json.loads((tmp_path / NOTEBOOK.name).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    shown = [output.get("data", {}) for cell in code for output in cell["outputs"]]
    assert sum("image/png" in data for data in shown) >= 6
    text = "".join("".join(data.get("text/plain", "")) for data in shown)
    assert "18 of 18" in text, "the replay isn't exact"
    assert "temperature" in text
    assert [output for cell in code for output in cell["outputs"] if output.get("name") == "stderr"] == []
