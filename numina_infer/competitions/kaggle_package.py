"""Kaggle's own module for a competition: found, imported, and made the gateway that serves a kernel.

It has no licence, so that we never ship it. Kaggle mounts it below `/kaggle/input/SLUG` or, in newer kernels,
`/kaggle/input/competitions/SLUG`.
A rerun can't be watched, and a kernel that ends has lost, so there our own inference server takes the place of a
module that is missing or broken, and reports it. Elsewhere that is an error for the user to mend.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.gateways import AimoGateway, KaggleEvaluationGateway, RunCompetition
from numina_infer.competitions.inference_server import InferenceServer
from numina_infer.competitions.known import Api, Competition
from numina_infer.core.errors import ConfigError, GatewayError, NuminaError
from numina_infer.core.ports import Announce, Gateway

PATH_VARIABLE = "KAGGLE_EVALUATION_PATH"
"""The environment variable that names the package, or the folder that holds it; it is looked at first."""


def kaggle_gateway(
    competition: Competition,
    report: Announce,
    *,
    is_rerun: bool,
    roots: Sequence[Path],
    problems: Path | None = None,
) -> Gateway:
    """The gateway of Kaggle's own module for `competition`; `report` hears if our server takes its place in a rerun.

    Outside a rerun, an inference server's local gateway asks for `problems`, a CSV file with the competition's own
    columns in their order, or for the package's own if it is None, and writes `submission.parquet` into the working
    folder.

    Raises:
        ConfigError: outside a rerun, `$KAGGLE_EVALUATION_PATH` names a place without the module.
        GatewayError: the module isn't there or can't be used, and nothing can take its place.
    """
    try:
        entry = _entry_point(competition, roots)
    except NuminaError as error:
        if not is_rerun or competition.api is Api.AIMO:
            raise
        report(f"{error}; our own inference server takes its place")
        return KaggleEvaluationGateway(own_server(competition))
    if competition.api is Api.AIMO:
        return AimoGateway(entry())
    if is_rerun:
        return KaggleEvaluationGateway(_kaggles_server(entry, competition, report))
    return KaggleEvaluationGateway(_local_gateway(entry, problems))


def _entry_point(competition: Competition, roots: Sequence[Path]) -> Any:
    """`make_env` or the server's class, from Kaggle's module."""
    module = load_package(competition, roots)
    if module is None:
        raise GatewayError(
            f"Kaggle's {competition.package} is nowhere to be found: attach the competition {competition.slug} "
            f"to the kernel, or name its folder in ${PATH_VARIABLE}"
        )
    name = "make_env" if competition.api is Api.AIMO else competition.server_class
    found = getattr(module, name, None)
    if found is None:
        raise GatewayError(f"{module.__file__} has no {name}, so it is no {competition.package} that is known here")
    return found


def _local_gateway(server_class: Callable[[Predict], Any], problems: Path | None) -> RunCompetition:
    """Runs the package outside a rerun: its own gateway poses problems from this process."""

    def run(predict: Predict) -> None:
        server = server_class(predict)
        try:
            server.run_local_gateway(None if problems is None else (str(problems),))
        except Exception as error:
            raise GatewayError(_package_says(error)) from error

    return run


def _package_says(error: Exception) -> str:
    """The message of an error; the package's own have a type and details instead of a text."""
    error_type, details = getattr(error, "error_type", None), getattr(error, "error_details", None)
    if error_type is None:
        return f"kaggle_evaluation broke off: {error!r}"
    return f"kaggle_evaluation aborted the run: {getattr(error_type, 'name', error_type)}: {details}"


def own_server(competition: Competition) -> RunCompetition:
    """Runs our own inference server in a rerun, until it is interrupted or the kernel ends."""

    def run(predict: Predict) -> None:
        with InferenceServer(predict, API_VERSIONS[competition.api_version], is_rerun=True) as server:
            server.serve()

    return run


def _kaggles_server(
    server_class: Callable[[Predict], Any], competition: Competition, report: Announce
) -> RunCompetition:
    """Runs the package's server in a rerun; if that breaks before it has asked anything, ours takes its place."""

    def run(predict: Predict) -> None:
        num_asked = 0

        def asked(id_: object, problem: object, *extra: object) -> object:
            nonlocal num_asked
            num_asked += 1
            return predict(id_, problem, *extra)

        asked.__name__ = predict.__name__
        try:
            server_class(asked).serve()
        except Exception as error:  # whatever it is, a rerun must listen
            if num_asked:
                raise
            report(f"Kaggle's server doesn't start ({error!r}); our own takes its place")
            own_server(competition)(predict)

    return run


def load_package(competition: Competition, roots: Sequence[Path]) -> ModuleType | None:
    """Import Kaggle's module for `competition`; None if there is none.

    Raises:
        ConfigError: see `find_package`.
        GatewayError: it can't be imported, such as a binary for another Python.
    """
    folder = find_package(competition, roots)
    if folder is None:
        return None
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(competition.package)
    except (Exception, SystemExit) as error:  # it calls sys.exit if files of its own are missing
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise GatewayError(
            f"{competition.package} is in {folder} and can't be imported by Python {version}: {error!r}"
        ) from error


def find_package(competition: Competition, roots: Sequence[Path]) -> Path | None:
    """The folder from which Kaggle's module for `competition` can be imported; None if there is none.

    Looks at `$KAGGLE_EVALUATION_PATH`, then at the competition's folder under `roots`, then at `sys.path`.

    Raises:
        ConfigError: `$KAGGLE_EVALUATION_PATH` names a place without it.
    """
    named = os.environ.get(PATH_VARIABLE, "")
    places = (Path(named), Path(named).parent) if named else _places(competition, roots)
    found = next((place for place in places if _holds(place, competition)), None)
    if named and found is None:
        raise ConfigError(f"${PATH_VARIABLE} is {named}, where there is no {competition.package}; mend or unset it")
    return found


def _places(competition: Competition, roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        yield root / competition.slug
        yield root / "competitions" / competition.slug
    yield from map(Path, sys.path)


def _holds(folder: Path, competition: Competition) -> bool:
    """Whether the module is in `folder`: a package, a file, or a binary for one Python (`aimo.cpython-310-….so`)."""
    *packages, name = competition.package.split(".")
    inner = folder.joinpath(*packages)
    return (inner / name / "__init__.py").is_file() or any(
        path.suffix in {".py", ".so"} for path in inner.glob(f"{name}.*")
    )
