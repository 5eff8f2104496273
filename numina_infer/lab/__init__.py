"""What is made of run logs: replays, evaluations, searches, reports, training data.

    from numina_infer import lab

    run = lab.evaluate_run("runs/20261123-093000", "aime.jsonl")
    lab.plots.plot_curves(run)

In: run folders, and problems files with answers. Out: tables, figures, pages and data sets; no verdict of a contest
ever depends on them. The rooms: `replay/` decides a recorded run again, `evaluate/` scores it, `tune/` searches
sampling parameters, `report/` makes an HTML page, `export/` makes training data. `cells.py` is how results and single
trajectories look in Jupyter.
Names are imported when they are first used, so `from numina_infer import lab` costs nothing.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numina_infer.app.choices import Choices as Choices
    from numina_infer.lab.cells import read_trajectory as read_trajectory
    from numina_infer.lab.evaluate import frames as frames
    from numina_infer.lab.evaluate import plots as plots
    from numina_infer.lab.evaluate.evaluation import compare as compare
    from numina_infer.lab.evaluate.evaluation import evaluate_run as evaluate_run
    from numina_infer.lab.replay.recording import read_recording as read_recording
    from numina_infer.lab.replay.replay import replay_run as replay_run
    from numina_infer.lab.replay.replay_table import replay_frame as replay_frame
    from numina_infer.lab.replay.variant import Change as Change
    from numina_infer.lab.replay.variant import sweep as sweep
    from numina_infer.lab.report.report_page import write_report as write_report
    from numina_infer.lab.tune.search import search as search
    from numina_infer.lab.tune.search_space import SearchSpace as SearchSpace
    from numina_infer.lab.tune.tuning_folder import Tuning as Tuning
    from numina_infer.runs.history import read_run as read_run

_HOMES = {
    "Change": "lab.replay.variant",
    "Choices": "app.choices",
    "SearchSpace": "lab.tune.search_space",
    "Tuning": "lab.tune.tuning_folder",
    "compare": "lab.evaluate.evaluation",
    "evaluate_run": "lab.evaluate.evaluation",
    "frames": "lab.evaluate.frames",
    "plots": "lab.evaluate.plots",
    "read_recording": "lab.replay.recording",
    "read_run": "runs.history",
    "read_trajectory": "lab.cells",
    "replay_frame": "lab.replay.replay_table",
    "replay_run": "lab.replay.replay",
    "search": "lab.tune.search",
    "sweep": "lab.replay.variant",
    "write_report": "lab.report.report_page",
}
__all__ = list(_HOMES)

# Libraries of models and of Optuna import tqdm, which warns in red in every notebook where ipywidgets isn't installed.
warnings.filterwarnings("ignore", message="IProgress not found")


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"numina_infer.{_HOMES[name]}")
    value = getattr(module, name, module)  # `frames` and `plots` are modules themselves
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
