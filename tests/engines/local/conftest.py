"""Where there is no PyTorch, what computes with it isn't even read."""

from importlib.util import find_spec

NEED_TORCH = ["test_kv_cache.py", "test_passes.py", "test_sampling.py", "test_transformers_engine.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH
