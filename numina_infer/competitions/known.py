"""The known competitions: the API, the range of answers, the time limits and the machine of each.

Sources: the three AI Mathematical Olympiad progress prizes as their pages, demos and winners describe them.
docs/kaggle.md lists the sources; a page may have changed since.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from numina_infer.competitions.api_versions import get_version
from numina_infer.core.config import BankConfig, require, require_choice, require_positive, require_whole
from numina_infer.core.records import AnswerRange
from numina_infer.models.gpus import Device, get_gpu


class Api(StrEnum):
    """The two APIs of competitions."""

    AIMO = "aimo"
    """2024: the kernel iterates over problems and calls `predict` for each."""
    KAGGLE_EVALUATION = "kaggle-evaluation"
    """Since 2025: Kaggle calls the kernel's function `predict`, through an inference server."""


@dataclass(frozen=True, slots=True)
class Competition:
    """What one competition asks for; make your own like any frozen record, or with `replace` from a known one."""

    name: str
    """The name that `--competition` takes."""
    slug: str
    """Kaggle's name for it, in web addresses and below the input folder."""
    api: Api
    package: str
    """Kaggle's module to import: `aimo`, or the one with the inference server."""
    answer_range: AnswerRange
    time_limit_s: float
    """For the whole run on Kaggle."""
    machine_shape: str
    """Kaggle's name for the machine that runs the kernel, as kernel-metadata.json takes it."""
    gpu: str
    """A name in `gpus.KNOWN_GPUS`."""
    num_gpus: int = 1
    num_problems: int | None = 50
    """None if it isn't known."""
    predict_limit_s: float | None = None
    """For each reply but the first; None if there is no limit."""
    startup_limit_s: float = 900.0
    """From the kernel's start until the inference server must listen."""
    api_version: str = "0.9.0"
    """Version of kaggle_evaluation, a key of `API_VERSIONS`; not used with the 2024 API."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "api", require_choice("api", self.api, Api))
        object.__setattr__(self, "answer_range", require_choice("answer_range", self.answer_range, AnswerRange))
        for name in ("time_limit_s", "startup_limit_s", "predict_limit_s"):
            if (limit_s := getattr(self, name)) is not None:
                require_positive(name, limit_s)
        if self.num_problems is not None:
            require_whole("num_problems", self.num_problems, 1)
        require_whole("num_gpus", self.num_gpus, 1)
        get_gpu(self.gpu)
        get_version(self.api_version)

    @property
    def devices(self) -> tuple[Device, ...]:
        """The machine's GPUs."""
        return (get_gpu(self.gpu),) * self.num_gpus

    @property
    def server_class(self) -> str:
        """The class in `package` that calls `predict`, such as `AIMO3InferenceServer` in `aimo_3_inference_server`."""
        stem = self.package.rpartition(".")[2].removesuffix("_inference_server")
        words = [word.upper() if word == "aimo" else word.capitalize() for word in stem.split("_")]
        return f"{''.join(words)}InferenceServer"

    def bank(self, time_limit_s: float | None = None, num_problems: int | None = None) -> BankConfig:
        """The time bank's settings for a whole run, or for a rehearsal with less time and its own problems."""
        limited = BankConfig.of_limit(self.time_limit_s if time_limit_s is None else time_limit_s)
        return replace(limited, num_problems=num_problems or self.num_problems, predict_limit_s=self.predict_limit_s)


COMPETITIONS: Mapping[str, Competition] = {
    competition.name: competition
    for competition in (
        Competition(
            name="aimo-1",
            slug="ai-mathematical-olympiad-prize",
            api=Api.AIMO,
            package="aimo",
            answer_range=AnswerRange.MOD_1000,
            time_limit_s=9 * 3600.0,
            machine_shape="NvidiaTeslaT4",
            gpu="T4",
            num_gpus=2,
        ),
        Competition(
            name="aimo-2",
            slug="ai-mathematical-olympiad-progress-prize-2",
            api=Api.KAGGLE_EVALUATION,
            package="kaggle_evaluation.aimo_2_inference_server",
            answer_range=AnswerRange.UP_TO_999,
            time_limit_s=5 * 3600.0,
            machine_shape="NvidiaL4",
            gpu="L4",
            num_gpus=4,
            predict_limit_s=30 * 60.0,
            api_version="0.3.0",
        ),
        Competition(
            name="aimo-3",
            slug="ai-mathematical-olympiad-progress-prize-3",
            api=Api.KAGGLE_EVALUATION,
            package="kaggle_evaluation.aimo_3_inference_server",
            answer_range=AnswerRange.UP_TO_99999,
            time_limit_s=5 * 3600.0,
            machine_shape="NvidiaH100",
            gpu="H100",
        ),
    )
}
"""By name."""


def get_competition(name: str) -> Competition:
    """The competition called `name`; `ConfigError` with the known names if there is none."""
    require(name in COMPETITIONS, f"no competition is called {name!r}; choose one of {', '.join(COMPETITIONS)}")
    return COMPETITIONS[name]
