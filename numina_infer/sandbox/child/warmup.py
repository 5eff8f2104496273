"""Load and warm what programs use, once, so that a forked child has it for nothing.

Half of the Numina kernel's time with programs went into importing sympy anew for every block.
"""

import importlib
import platform

_LIBRARIES = (
    "sympy",
    "numpy",
    "mpmath",
    "scipy",
    "networkx",
)
_MODULES = (
    "bisect",
    "cmath",
    "collections",
    "copy",
    "decimal",
    "encodings.idna",
    "fractions",
    "functools",
    "glob",
    "heapq",
    "itertools",
    "math",
    "mmap",
    "operator",
    "queue",
    "random",
    "re",
    "secrets",
    "statistics",
    "string",
    "tempfile",
    "textwrap",
    "time",
    "typing",
    "networkx.algorithms",
    "scipy.integrate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.special",
    "sympy.combinatorics",
    "sympy.geometry",
    "sympy.ntheory",
    "sympy.parsing.sympy_parser",
    "sympy.solvers.diophantine",
)


def load() -> dict[str, str]:
    """Import what is installed and exercise sympy; the versions found, by name."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        if _import(name):
            versions[name] = str(importlib.import_module(name).__version__)
    for name in _MODULES:
        _import(name)
    _exercise_sympy()
    return versions


def _import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _exercise_sympy() -> None:
    """Fill sympy's tables and caches: the first call of each kind is the slow one."""
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
