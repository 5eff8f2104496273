"""Finds the weight files in a model's folder and counts the numbers in them.

A safetensors file begins with eight bytes of length and a JSON table of its tensors
(github.com/huggingface/safetensors); only that is read, and pickled weights are refused unread.
"""

import json
import struct
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.models.json_file import read_json

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl")
_POINTER = b"version https://git-lfs"
_FLOAT_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that belong to the model: those its index lists, else all; none where there are none.

    Raises:
        ConfigError: the weights are pickled, or a listed file is missing.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return _listed_files(folder, index)
    files = sorted(folder.glob("*.safetensors"))
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    require(
        bool(files) or not pickled,
        f"model folder {folder} has pickled weights only ({', '.join(pickled[:3])}), which are never read: "
        "save them as *.safetensors",
    )
    return files


def _listed_files(folder: Path, index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    names = sorted({Path(str(name)).name for name in weight_map.values()}) if isinstance(weight_map, dict) else []
    require(bool(names), f"{index} lists no weights")
    missing = [name for name in names if not (folder / name).is_file()]
    require(not missing, f"model folder {folder} lacks {', '.join(missing)}, which {index.name} lists: fetch it again")
    return [folder / name for name in names]


def count(file: Path) -> tuple[int, int]:
    """The floats in a safetensors file, and the bytes of all other numbers.

    A file whose table can't be read counts by its size: whether it can be loaded is for the engine to say.

    Raises:
        ConfigError: the file is shorter than its table says, or only a pointer to the real one.
    """
    tensors = _tensors(file)
    floats = sum(num_bytes // _FLOAT_BYTES[dtype] for dtype, num_bytes in tensors if dtype in _FLOAT_BYTES)
    rest = sum(num_bytes for dtype, num_bytes in tensors if dtype not in _FLOAT_BYTES)
    return (floats, rest) if tensors else (0, file.stat().st_size)


def _tensors(file: Path) -> list[tuple[str, int]]:
    """Dtype and bytes of each tensor; none where the file has no readable table."""
    with file.open("rb") as stream:
        start = stream.read(len(_POINTER))
        require(start != _POINTER, f"{file} is a pointer of git-lfs without its content: run `git lfs pull` there")
        length = struct.unpack("<Q", start[:_LENGTH_BYTES])[0] if len(start) >= _LENGTH_BYTES else 0
        if not 0 < length <= _MAX_HEADER_BYTES:
            return []
        stream.seek(_LENGTH_BYTES)
        try:
            table = json.loads(stream.read(length))
            spans = [(t["dtype"], *t["data_offsets"]) for name, t in table.items() if name != "__metadata__"]
            sizes = [(str(dtype), int(end) - int(begin)) for dtype, begin, end in spans]
            whole = _LENGTH_BYTES + length + max((int(end) for _, _, end in spans), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return []
    if any(num_bytes < 0 for _, num_bytes in sizes):
        return []
    _require_whole(file, whole)
    return sizes


def _require_whole(file: Path, whole: int) -> None:
    size = file.stat().st_size
    require(size >= whole, f"{file} is cut short: {size} bytes of {whole} are there; fetch it again")
