"""How a field of a record is given on the command line: the field's annotation says it.

`num_samples: Annotated[int | None, Option("trajectories a problem", "N")] = None` makes `--num-samples N`, whose value
is read as the annotation's type. `cli/parser.py` declares the options of a whole record at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import get_annotations


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line."""

    meaning: str
    """Its line in the help."""
    metavar: str | None = None
    """How its value is shown; None takes the option's name in capitals."""
    flag: str = ""
    """How it is spelled, where that isn't the field's name."""


def own_options(record: type) -> Mapping[str, tuple[object, Option]]:
    """Type and option of each field that has one, by name, without those that `record` inherits."""
    return {
        name: (annotation.__origin__, annotation.__metadata__[0])
        for name, annotation in get_annotations(record).items()
        if hasattr(annotation, "__metadata__")
    }
