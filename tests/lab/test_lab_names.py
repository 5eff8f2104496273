"""`from numina_infer import lab`: all names in one place, at no cost, and results that a cell shows well."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from numina_infer import lab
from numina_infer.lab.cells import html_code, html_table

RUN = Path(__file__).parents[1] / "recorded_run"


def test_every_name_is_there() -> None:
    """Those that are listed, and no others."""
    assert all(getattr(lab, name) is not None for name in lab.__all__)
    assert dir(lab) == sorted(lab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lab.nothing


def test_importing_it_loads_nothing_large() -> None:
    """Libraries come with the first name that needs them."""
    program = "import sys; from numina_infer import lab; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "pandas", "rich", "optuna", "matplotlib", "asyncio"} & set(loaded)


def test_results_show_themselves_in_a_cell() -> None:
    """As tables and sentences, and short as text."""
    run = lab.evaluate_run(RUN, RUN / "problems.jsonl")
    replayed = lab.replay_run(lab.read_recording(RUN))
    compared = lab.compare(run, run)
    assert run.verdicts is not None
    assert run.verdicts._repr_html_() == "<b>44.4%</b>, with 95 % confidence 24.6 to 66.3 %"
    for shown, said in ((run, "44.4%"), (replayed, "18 of 18 verdicts are as recorded"), (compared, "be told apart")):
        assert "<table>" in shown._repr_html_()
        assert said in shown._repr_html_()
        assert said in repr(shown)
        assert len(repr(shown)) < 500


def test_texts_of_tables_and_programs_stay_texts() -> None:
    """Titles, headings, cells, lines below, and programs."""
    table = Table("<h>", title="<t>")
    table.add_row("<script>")
    shown = html_table(table, "<i>x", "") + html_code("print('<u>')")
    assert not [part for part in ("<h>", "<t>", "<script>", "<i>", "<u>") if part in shown]
    assert shown.count("<p>") == 1
    assert "&lt;script&gt;" in shown
