"""Reads a JSON file that somebody else wrote, such as a model's config.json."""

import json
from pathlib import Path
from typing import Any

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        ConfigError: the file can't be read, or holds no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} holds no JSON, so it can't be read: {error}") from error
    require(isinstance(content, dict), f"{file} holds no JSON object")
    return dict(content)
