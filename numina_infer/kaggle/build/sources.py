"""Names on Kaggle: `owner/slug` with an optional version, and a model's five parts.

The rules are those of Kaggle's client (2.2.4, `validate_*_string`); they are stricter where the client accepts a name
that Kaggle then refuses, such as a version that is no number.
"""

import re
from dataclasses import dataclass

from numina_infer.core.config import require

OWNER_PLACEHOLDER = "OWNER"
"""Takes the place of a user name in committed files."""

_PART = re.compile(r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*")
_MODEL_FORM = "OWNER/MODEL/FRAMEWORK/VARIATION/VERSION"


def is_slug(text: str) -> bool:
    """Whether `text` can be one part of a name."""
    return _PART.fullmatch(text) is not None


def slugify(title: str) -> str:
    """Kaggle's slug of a title: lower case, and a hyphen for other characters than letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def require_owner(owner: str) -> None:
    """Raise `ConfigError` unless `owner` can be a user name on Kaggle."""
    require(is_slug(owner), f"owner is {owner!r}; it must be your user name on Kaggle, as in the address of your page")


def dataset_fault(source: object, kind: str = "dataset", least: int = 1) -> str:
    """Why `source` isn't `owner/slug` or `owner/slug/version`; empty where it is.

    Args:
        source: the value in the metadata.
        kind: the word for it in the message.
        least: the fewest characters of a slug.
    """
    parts = source.split("/") if isinstance(source, str) else []
    if len(parts) not in {2, 3} or not all(map(is_slug, parts)):
        return f"the {kind} {source!r} isn't OWNER/SLUG or OWNER/SLUG/VERSION"
    if len(parts) == 3 and not parts[2].isdecimal():
        return f"the version of the {kind} {source!r} is no number"
    if len(parts[1]) < least:
        return f"the slug of the {kind} {source!r} has fewer than {least} characters"
    return ""


def kernel_fault(source: object) -> str:
    """Why `source` names no kernel; empty where it does."""
    return dataset_fault(source, "kernel", least=5)


def model_fault(source: object) -> str:
    """Why `source` isn't a version of a model; empty where it is."""
    parts = source.split("/") if isinstance(source, str) else []
    if len(parts) != 5 or not all(map(is_slug, parts)):
        return f"the model {source!r} isn't {_MODEL_FORM}"
    if not parts[4].isdecimal():
        return f"the version of the model {source!r} is {parts[4]!r}; it must be a number"
    return ""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A version of a model, as `model_sources` names it."""

    owner: str
    model: str
    framework: str
    variation: str
    version: int

    @classmethod
    def parse(cls, text: str) -> "ModelSource":
        """From `OWNER/MODEL/FRAMEWORK/VARIATION/VERSION`; `ConfigError` where it has another form."""
        fault = model_fault(text)
        require(not fault, f"{fault}; the page of a model on Kaggle shows it")
        owner, model, framework, variation, version = text.split("/")
        return cls(owner, model, framework, variation, int(version))

    def __str__(self) -> str:
        return f"{self.owner}/{self.model}/{self.framework}/{self.variation}/{self.version}"
