"""The notebook's settings: set where they stand, and nothing else of it changed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.build.build import NOTEBOOK, find_shipped
from numina_infer.kaggle.build.notebook import SETTINGS, Notebook

CODE = 'COMPETITION = "aimo-1"  # which\nMODEL = ""\nPRESET = ""\n\nprint(MODEL)'


def notebook(*sources: str) -> Notebook:
    """One of code cells."""
    rest: dict[str, Any] = {"cell_type": "code", "outputs": [], "execution_count": None}
    cells = [rest | {"source": source} for source in sources]
    return Notebook(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@given(st.fixed_dictionaries({name: st.text() for name in SETTINGS}))
def test_settings_are_read_as_they_were_set(settings: dict[str, str]) -> None:
    """Whatever the text, and the rest stays."""
    changed = notebook("before = 1", CODE).with_settings(settings)
    assert changed.settings == settings
    assert changed.cells_without_settings == notebook("before = 1", CODE).cells_without_settings


@given(st.text())
def test_a_setting_is_one_line_of_python(model: str) -> None:
    """No text leaves its string."""
    source = notebook(CODE).with_settings({"MODEL": model}).cells[0][1]
    lines = source.splitlines()
    assert lines[0].startswith('COMPETITION = "aimo-1"')
    assert lines[1].startswith('MODEL = "')
    assert lines[1].endswith('"')
    assert lines[2:] == ['PRESET = ""', "", "print(MODEL)"]


@pytest.mark.parametrize(
    ("code", "count"),
    [(CODE.replace("MODEL", "MODELS"), 0), (f'{CODE}\nMODEL = "b"', 2), (CODE.replace('""', "str()", 1), 0)],
)
def test_a_setting_that_is_not_assigned_once_is_refused(code: str, count: int) -> None:
    """With how often it is, and what is wanted."""
    with pytest.raises(ConfigError, match=f'assigns MODEL {count} times; one line like MODEL = "..." is wanted'):
        notebook(code).with_settings({"MODEL": "a"})


def test_a_comment_behind_a_setting_stays() -> None:
    """It explains the setting."""
    changed = notebook(CODE).with_settings({"COMPETITION": "aimo-3"})
    assert changed.cells[0][1].startswith('COMPETITION = "aimo-3"  # which\n')


def test_the_submission_notebook_can_be_set() -> None:
    """The one that is built from."""
    submission = Notebook.read(find_shipped(NOTEBOOK))
    settings = {"COMPETITION": "aimo-2", "MODEL": "a/b/c/d/1", "PRESET": "t4x2"}
    changed = submission.with_settings(settings)
    assert changed.settings == settings
    assert changed.cells_without_settings == submission.cells_without_settings
    assert not changed.has_outputs


@pytest.mark.parametrize("text", ["", "[]", '{"cells": 3}', '{"metadata": {}}'])
def test_what_is_no_notebook_is_refused(text: str, tmp_path: Path) -> None:
    """By its path."""
    path = tmp_path / "submission.ipynb"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"submission\.ipynb isn't a notebook"):
        Notebook.read(path)
