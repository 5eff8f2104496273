"""Choose the gateway that serves a kernel: Kaggle's own module, or in a rerun our inference server in its place.

A rerun can't be watched, and a kernel that ends has lost, so there our own server takes the place of a module that is
missing or broken, and reports it. Elsewhere that is an error for the user to mend.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.gateways.aimo_gateway import AimoGateway
from numina_infer.competitions.gateways.competition_package import INPUT_ROOTS, PATH_VARIABLE, load_package
from numina_infer.competitions.gateways.predict_gateway import KaggleEvaluationGateway, Run, package_run, server_run
from numina_infer.competitions.known import Api, Competition
from numina_infer.core.errors import GatewayError, NuminaError
from numina_infer.core.ports import Announce, Gateway


def kaggle_gateway(
    competition: Competition,
    report: Announce,
    *,
    is_rerun: bool,
    problems: Path | None = None,
    roots: Sequence[Path] = INPUT_ROOTS,
) -> Gateway:
    """The gateway of Kaggle's own module for `competition`; `report` hears if our server takes its place in a rerun.

    Outside a rerun, an inference server's local gateway asks for `problems`; see `package_run`.

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
        return KaggleEvaluationGateway(server_run(API_VERSIONS[competition.api_version], is_rerun=True))
    if competition.api is Api.AIMO:
        return AimoGateway(entry())
    run = package_run(entry, problems=problems, is_rerun=is_rerun)
    return KaggleEvaluationGateway(_with_fallback(run, competition, report) if is_rerun else run)


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


def _with_fallback(run: Run, competition: Competition, report: Announce) -> Run:
    """As `run`; if that breaks before it has asked for anything, our own server takes its place."""

    def run_either(predict: Predict) -> None:
        num_asked = 0

        def asked(id_: object, problem: object, *extra: object) -> object:
            nonlocal num_asked
            num_asked += 1
            return predict(id_, problem, *extra)

        asked.__name__ = predict.__name__
        try:
            run(asked)
        except Exception as error:  # whatever it is, a rerun must listen
            if num_asked:
                raise
            report(f"Kaggle's server doesn't start ({error!r}); our own takes its place")
            server_run(API_VERSIONS[competition.api_version], is_rerun=True)(predict)

    return run_either
