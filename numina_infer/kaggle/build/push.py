"""The plan of a kernel for one competition and one model: names, settings, sources and machine."""

from dataclasses import dataclass

from numina_infer.competitions.known import Competition
from numina_infer.core.config import require
from numina_infer.core.presets import get_preset
from numina_infer.kaggle.build.metadata import DatasetMetadata, KernelMetadata
from numina_infer.kaggle.build.sources import ModelSource, dataset_fault, is_slug, require_owner, slugify

DATASET_SLUG = "numina-infer"
"""Of the dataset with this package's own wheel."""
VLLM = "0.19.1"
"""The version for T4s: the newest with kernels for them whose torch is built for CUDA 12."""
T4X2 = "NvidiaTeslaT4"
"""Two T4s; Kaggle has no single one."""

KNOWN_SHAPES = frozenset(
    {
        "NvidiaTeslaP100",
        T4X2,
        "NvidiaTeslaT4Highmem",
        "NvidiaL4",
        "NvidiaL4X1",
        "NvidiaH100",
        "NvidiaTeslaA100",
        "NvidiaRtxPro6000",
    }
)
"""Kaggle's names of machines with GPUs, from its client's documentation (2026)."""


def wheelhouse_slug(vllm: str = VLLM) -> str:
    """Of the dataset with vLLM's wheels."""
    return f"numina-infer-vllm-{slugify(vllm)}"


def machine_shape(competition: Competition, preset: str) -> str:
    """The machine that a preset is for, else the one that the competition scores on."""
    return T4X2 if preset == "t4x2" else competition.machine_shape


@dataclass(frozen=True, slots=True)
class Push:
    """One kernel to build. A field that is left empty follows from the others."""

    owner: str
    competition: Competition
    model: ModelSource
    preset: str = ""
    """Empty takes `t4x2` for a competition on T4s, and elsewhere what the notebook takes by itself."""
    slug: str = ""
    wheelhouse: str = ""
    """`OWNER/SLUG` of the dataset with vLLM's wheels."""
    shape: str = ""

    def __post_init__(self) -> None:
        require_owner(self.owner)
        if not self.preset and self.competition.machine_shape == T4X2:
            object.__setattr__(self, "preset", "t4x2")
        if self.preset:
            get_preset(self.preset)
        defaults = {
            "slug": self.slug or f"{DATASET_SLUG}-{self.competition.name}",
            "wheelhouse": self.wheelhouse or f"{self.owner}/{wheelhouse_slug()}",
            "shape": self.shape or machine_shape(self.competition, self.preset),
        }
        for name, value in defaults.items():
            object.__setattr__(self, name, value)
        fault = dataset_fault(self.wheelhouse)
        require(not fault, fault)
        require(is_slug(self.slug), f"slug is {self.slug!r}; small letters, digits and hyphens are wanted")
        shapes = ", ".join(sorted(KNOWN_SHAPES))
        require(self.shape in KNOWN_SHAPES, f"machine_shape is {self.shape!r}; choose one of {shapes}")

    @property
    def name(self) -> str:
        """`owner/slug`, its name on Kaggle."""
        return f"{self.owner}/{self.slug}"

    @property
    def settings(self) -> dict[str, str]:
        """The settings of its notebook."""
        return {"COMPETITION": self.competition.name, "MODEL": str(self.model), "PRESET": self.preset}

    def metadata(self, code_file: str = "submission.ipynb") -> KernelMetadata:
        """The kernel's own file; `ConfigError` where Kaggle would refuse it."""
        return KernelMetadata(
            id=self.name,
            title=self.slug,
            code_file=code_file,
            machine_shape=self.shape,
            competition_sources=(self.competition.slug,),
            dataset_sources=(self.dataset.id, self.wheelhouse),
            model_sources=(str(self.model),),
        )

    @property
    def dataset(self) -> DatasetMetadata:
        """The dataset with this package's wheel."""
        return DatasetMetadata(
            id=f"{self.owner}/{DATASET_SLUG}",
            title=DATASET_SLUG,
            subtitle="The numina-infer package for offline kernels",
            description="Wheels of numina-infer and of the pure Python packages that it needs. "
            "Built by `numina-infer kaggle build`.",
        )
