"""Loads Numina's four validation sets, or any other set of problems, and writes problems files.

The sets are AI-MO's on the Hugging Face hub: AMC 12 of 2022 and 2023 as integers, AIME of 2022 to 2024, and the
problems of levels 4 and 5 of MATH's test set whose answer is an integer. Their columns are `id` (a number), `problem`,
`answer`, and here and there `solution` and `url`; names and sizes are those of Numina's write-up of 2024.
None of them ships with this package: AMC and AIME belong to the MAA.
MATH's are taken from its test set, so nothing that is scored by them may have been trained on it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numina_infer.core.errors import ConfigError, ProblemsFileError
from numina_infer.core.records import Problem
from numina_infer.runs.problems import ProblemRow, ProblemSet, read_problems

_SUFFIXES = {".csv", ".jsonl", ".parquet"}
_SPLITS = ("train", "test", "validation")


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """A set on the hub, and the size that it should have."""

    hub_id: str
    num_problems: int


VALIDATION_SETS = {
    "amc": ValidationSet("AI-MO/aimo-validation-amc", 83),
    "aime": ValidationSet("AI-MO/aimo-validation-aime", 90),
    "math-4": ValidationSet("AI-MO/aimo-validation-math-level-4", 754),
    "math-5": ValidationSet("AI-MO/aimo-validation-math-level-5", 721),
}


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """Problems with their references, and warnings about what isn't as expected."""

    problems: ProblemSet
    warnings: tuple[str, ...] = ()


def load_set(source: str, *, expect: str | None = None) -> LoadedSet:
    """Load `source`: a name in `VALIDATION_SETS`, a problems file, a folder of such, or a dataset's id on the hub.

    The number of problems is checked against the set that has this name or hub id, or that `expect` names.

    Raises:
        ConfigError: nothing is known by that name, it can't be loaded, or it holds no problems.
    """
    names = VALIDATION_SETS | {one.hub_id: one for one in VALIDATION_SETS.values()}
    if expect is not None and expect not in VALIDATION_SETS:
        raise ConfigError(f"no set is called {expect!r}; choose one of {', '.join(VALIDATION_SETS)}")
    if Path(source).suffix.lower() in _SUFFIXES:
        problems = read_problems(source)
    else:
        problems = _problem_set(_hub_rows(names[source].hub_id if source in names else source), source)
    return LoadedSet(problems, tuple(_warnings(problems, source, names.get(expect or source))))


def write_problems(problems: ProblemSet, path: Path) -> None:
    """Write a problems file that every command reads: JSON lines of `id, problem, answer`.

    Raises:
        ConfigError: the name doesn't end in `.jsonl`, or there is such a file already.
    """
    if path.suffix.lower() != ".jsonl":
        raise ConfigError(f"{path} doesn't end in .jsonl; name it so")
    rows = ({"id": row.problem.id, "problem": row.problem.statement, "answer": row.reference} for row in problems.rows)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; name another file, or remove it") from error


def _hub_rows(source: str) -> Iterable[Mapping[str, Any]]:
    """The rows of a dataset on the hub, or of a folder here that is laid out like one."""
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(f"{source} is loaded by the package datasets; pip install 'numina-infer[eval]'") from error
    try:
        splits = datasets.load_dataset(source)
    except Exception as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise ConfigError(
            f"{source} can't be loaded as a dataset: {reason}; give one of {', '.join(VALIDATION_SETS)}, "
            "a dataset's id on the hub, or a file that ends in .csv, .jsonl or .parquet"
        ) from error
    name = next((split for split in _SPLITS if split in splits), None)
    if name is None:
        raise ConfigError(f"{source} has the splits {', '.join(splits)}; one of {', '.join(_SPLITS)} is read")
    rows: Iterable[Mapping[str, Any]] = splits[name]
    return rows


def _problem_set(rows: Iterable[Mapping[str, Any]], source: str) -> ProblemSet:
    read = tuple(_row(number, row, source) for number, row in enumerate(rows))
    if not read:
        raise ProblemsFileError(f"{source} holds no problem")
    if repeated := len(read) - len({row.problem.id for row in read}):
        raise ProblemsFileError(f"{source}: {repeated} rows have the id of another; give each problem its own")
    return ProblemSet(read)


def _row(number: int, row: Mapping[str, Any], source: str) -> ProblemRow:
    statement = row.get("problem", row.get("question"))
    if not isinstance(statement, str) or not statement.strip():
        raise ProblemsFileError(
            f"{source}, row {number}: no text in the column problem, beside {', '.join(sorted(row))}; is it a set of "
            "problems?"
        )
    answer = row.get("answer")
    return ProblemRow(Problem(str(row.get("id", number)), statement), None if answer is None else str(answer))


def _warnings(problems: ProblemSet, source: str, expected: ValidationSet | None) -> Iterable[str]:
    count = len(problems.rows)
    if expected is not None and count != expected.num_problems:
        yield (
            f"{source} holds {count} problems, {expected.hub_id} has {expected.num_problems}; "
            "its figures won't be comparable with published ones"
        )
    if without := count - len(problems.references):
        yield f"{without} of {count} problems of {source} have no answer, and can't be scored"
