"""Where a run is, by Kaggle's own variables."""

import pytest

from numina_infer.kaggle.place import Place, find_place


@pytest.mark.parametrize("value", ["1", "", "0", "false"])
@pytest.mark.parametrize("run_type", [{}, {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}])
def test_a_rerun_is_one_whatever_its_variable_says(value: str, run_type: dict[str, str]) -> None:
    """As kaggle_evaluation sees it: set at all."""
    assert find_place({"KAGGLE_IS_COMPETITION_RERUN": value, **run_type}) is Place.RERUN


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, Place.COMMIT),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, Place.INTERACTIVE),
        ({"KAGGLE_KERNEL_RUN_TYPE": ""}, Place.LAPTOP),
        ({}, Place.LAPTOP),
    ],
)
def test_the_other_places_are_told_by_the_run_type(environment: dict[str, str], place: Place) -> None:
    """Without it, it is a laptop."""
    assert find_place(environment) is place


def test_only_a_rerun_has_nobody_to_read_its_errors() -> None:
    """And only a laptop isn't Kaggle's."""
    assert [place for place in Place if not place.is_watched] == [Place.RERUN]
    assert [place for place in Place if not place.is_kaggle] == [Place.LAPTOP]
