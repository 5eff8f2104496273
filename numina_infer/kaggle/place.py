"""Where a run takes place: on a laptop, or in one of the three ways in which Kaggle runs a notebook.

The variables are Kaggle's own. Its kaggle_evaluation tests only whether KAGGLE_IS_COMPETITION_RERUN is set, so an
empty value means a rerun as well; testing for truth would rehearse where the run is scored.
"""

import os
from collections.abc import Mapping
from enum import StrEnum

RERUN_VARIABLE = "KAGGLE_IS_COMPETITION_RERUN"
RUN_TYPE_VARIABLE = "KAGGLE_KERNEL_RUN_TYPE"


class Place(StrEnum):
    """Where a run takes place."""

    LAPTOP = "laptop"
    """Anywhere but on Kaggle."""
    INTERACTIVE = "interactive"
    """Kaggle's editor, where a person sees every cell."""
    COMMIT = "commit"
    """"Save and run all": every cell runs with nobody there, and the output is kept."""
    RERUN = "rerun"
    """The run that is scored; only its submission is ever seen."""

    @property
    def is_kaggle(self) -> bool:
        """False on a laptop."""
        return self is not Place.LAPTOP

    @property
    def is_watched(self) -> bool:
        """True where somebody can read an error and start again."""
        return self is not Place.RERUN


_RUN_TYPES: Mapping[str, Place] = {"Interactive": Place.INTERACTIVE, "Batch": Place.COMMIT}


def find_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Where the process with this `environment` runs."""
    if RERUN_VARIABLE in environment:
        return Place.RERUN
    return _RUN_TYPES.get(environment.get(RUN_TYPE_VARIABLE, ""), Place.LAPTOP)
