"""Import and exercise the libraries that programs use, once in the zygote, so that every child has them loaded.

The Numina kernel spent half of its time with programs on importing sympy again for every block.
After that, most of a small program's time went into fork and exit, which walk every page of the libraries: the zygote
moves them into huge pages, so that a fork copies few page tables and a child's end frees few.
"""

import importlib
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from numina_infer.sandbox.child.libc import madvise

LIBRARIES = ("sympy", "numpy", "mpmath", "scipy", "networkx")
_MODULES = (
    "bisect", "cmath", "collections", "copy", "decimal", "encodings.idna", "fractions", "functools", "glob",
    "heapq", "itertools", "math", "mmap", "operator", "queue", "random", "re", "secrets", "statistics", "string",
    "tempfile", "textwrap", "time", "typing", "networkx.algorithms", "scipy.integrate", "scipy.linalg",
    "scipy.optimize", "scipy.special", "sympy.combinatorics", "sympy.geometry", "sympy.ntheory",
    "sympy.parsing.sympy_parser", "sympy.solvers.diophantine",
)  # fmt: skip
_MADV_COLLAPSE = 25
_HUGE_BYTES = 2 * 1024**2
_PRIVATE_ANONYMOUS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0\s*(?:\[heap\]|\[anon:[^]]*\])?$")


def load() -> dict[str, str]:
    """Import what is installed and exercise sympy; returns the versions found, by name."""
    versions = interpreter()
    for name in LIBRARIES:
        if _import(name):
            versions[name] = str(importlib.import_module(name).__version__)
    for name in _MODULES:
        _import(name)
    _exercise_sympy()
    return versions


def interpreter() -> dict[str, str]:
    """The version of Python, which is all that a zygote without libraries has."""
    return {"python": platform.python_version()}


def _import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _exercise_sympy() -> None:
    """Fill sympy's tables and caches, since the first call of each kind is slow."""
    import numpy as np
    import sympy as sp

    x, y = sp.symbols("x y")
    sp.solve([x + y - 3, x * y - 2], [x, y])
    sp.solve(x**3 - 6 * x**2 + 11 * x - 6, x)
    sp.factorint(360)
    sp.simplify(sp.sin(x) ** 2 + sp.cos(x) ** 2 + sp.sqrt(8) / (x + 1))
    sp.integrate(x * sp.exp(x) + 1 / (1 + x**2), x)
    sp.diff(sp.log(x), x)
    sp.factor(sp.expand((x + y) ** 3))
    sp.summation(x**2, (x, 1, y))
    sp.limit(sp.sin(x) / x, x, 0)
    sp.lambdify(x, x**2, "numpy")(np.arange(3))
    str(sp.Matrix([[1, 2], [3, 4]]).inv() * sp.N(sp.pi, 30))


def collapse_heap() -> int:
    """Move the parts of the heap that fill whole huge pages into such; returns their number.

    MADV_COLLAPSE works whatever the system's setting is; kernels before Linux 6.1 refuse, and nothing is lost.
    """
    return sum(_collapse(address) for address in _aligned_parts())


def _aligned_parts() -> Iterator[int]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        if found := _PRIVATE_ANONYMOUS.match(line):
            start, end = (int(number, 16) for number in found.groups())
            yield from range(-(-start // _HUGE_BYTES) * _HUGE_BYTES, end - _HUGE_BYTES + 1, _HUGE_BYTES)


def _collapse(address: int) -> bool:
    try:
        madvise(address, _HUGE_BYTES, _MADV_COLLAPSE)
    except OSError:
        return False
    return True
