"""The submission notebook as a file: reads and changes its settings, and compares its cells.

Its first code cell assigns three settings, one a line, to a plain string each; nothing else is ever changed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError

SETTINGS = ("COMPETITION", "MODEL", "PRESET")
"""The settings of the notebook."""

FILE_NAME = "submission.ipynb"


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook, as the JSON text of its file."""

    text: str

    @classmethod
    def read(cls, path: Path) -> "Notebook":
        """From a file.

        Raises:
            ConfigError: it can't be read, or is no notebook.
        """
        try:
            text = path.read_text(encoding="utf-8")
            cells = json.loads(text)["cells"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"{path} isn't a notebook: {error!r}") from error
        require(isinstance(cells, list), f"{path} isn't a notebook: it has no list of cells")
        require(all(map(_is_cell, cells)), f"{path} isn't a notebook: a cell has no type, or no text for a source")
        return cls(text)

    @property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """The kind and the source of every cell."""
        return tuple((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(self.text)["cells"])

    @property
    def cells_without_settings(self) -> tuple[tuple[str, str], ...]:
        """The cells with every setting emptied: the same in any two notebooks that differ in nothing else."""
        return self.with_settings(dict.fromkeys(SETTINGS, "")).cells

    @property
    def has_outputs(self) -> bool:
        """Whether a cell has a result or an execution count."""
        cells = json.loads(self.text)["cells"]
        return any(cell.get("outputs") or cell.get("execution_count") for cell in cells)

    @property
    def settings(self) -> dict[str, str]:
        """The settings as they stand; `ConfigError` unless each is assigned exactly once."""
        return {name: self._assigned(name) for name in SETTINGS}

    def with_settings(self, settings: Mapping[str, str]) -> "Notebook":
        """The notebook with these settings in place of its own, written as JSON strings.

        Raises:
            ConfigError: one of them isn't assigned exactly once.
        """
        content = json.loads(self.text)
        for name, value in settings.items():
            self._assigned(name)
            line = f"{name} = {json.dumps(value)}".replace("\\", r"\\")
            for cell in content["cells"]:
                if cell["cell_type"] == "code":
                    source = _assignment(name).sub(line, "".join(cell["source"]))
                    cell["source"] = source.splitlines(keepends=True)
        return Notebook(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def write(self, path: Path) -> None:
        """Put it into a file."""
        path.write_text(self.text, encoding="utf-8")

    def _assigned(self, name: str) -> str:
        sources = (source for kind, source in self.cells if kind == "code")
        found = [match["value"] for source in sources for match in _assignment(name).finditer(source)]
        wanted = f'one line like {name} = "..." is wanted'
        require(len(found) == 1, f"the notebook assigns {name} {len(found)} times; {wanted}")
        try:
            return str(json.loads(found[0]))
        except ValueError as error:
            raise ConfigError(f"the notebook's {name} is {found[0]}; write it as JSON does") from error


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
        return False
    source = cell.get("source")
    return isinstance(source, str) or (isinstance(source, list) and all(isinstance(line, str) for line in source))


def _assignment(name: str) -> re.Pattern[str]:
    return re.compile(rf'^{name} = (?P<value>"(?:[^"\\\n]|\\.)*")(?=[ \t]*(?:#.*)?$)', re.MULTILINE)
