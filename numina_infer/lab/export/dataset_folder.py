"""Writes a data set as `datasets.load_dataset` reads it: Parquet under `data`, and a card.

It appears whole or not at all: it is written to a temporary folder, which is renamed at the end.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from numina_infer.core.config import require
from numina_infer.lab.export.chat_rows import Row

_ROWS_AT_ONCE = 500
DATA = Path("data") / "train-00000-of-00001.parquet"


def require_new(folder: Path) -> None:
    """Raise `ConfigError` where there is something in `folder` already."""
    require(
        not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
        f"{folder} is there already; give another --out, or remove it",
    )


def write_dataset(folder: Path, schema: Any, rows: Iterable[Row], files: Mapping[str, str]) -> None:
    """Write `rows` of the pyarrow `schema`, some hundred in memory at a time, and `files`, by name their text."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        staging.chmod(0o755)
        (staging / DATA).parent.mkdir()
        _write_parquet(staging / DATA, schema, rows)
        for name, text in files.items():
            (staging / name).write_text(text, encoding="utf-8")
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_parquet(file: Path, schema: Any, rows: Iterable[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetWriter(file, schema) as writer:
        for batch in batches(rows):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """`rows`, some hundred at a time."""
    left = iter(rows)
    while batch := list(islice(left, _ROWS_AT_ONCE)):
        yield batch
