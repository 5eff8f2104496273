"""Check that no two public classes and no two modules of the package share a name, so that a name finds one place.

Run by `make check`; ends with 1 and a line for each name that is used twice.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "numina_infer"
EXCEPTIONS = {
    "Sandbox": "the port, and the public name of what implements it: numina_infer.sandbox.Sandbox",
}
"""Names that may be used twice, and why."""


def main() -> int:
    """Print what is used twice; returns the exit code."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        shown = str(path.relative_to(PACKAGE.parent))
        if not path.name.startswith("__"):
            places["module", path.stem].append(shown)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places["class", node.name].append(f"{shown}:{node.lineno}")
    twice = {key: found for key, found in places.items() if len(found) > 1 and key[1] not in EXCEPTIONS}
    for (kind, name), found in twice.items():
        print(f"the {kind} name {name} is used {len(found)} times: {', '.join(found)}")
    used = {name for (_, name), found in places.items() if len(found) > 1}
    for name in EXCEPTIONS.keys() - used:
        print(f"{name} is no exception any more; take it out of .ci/names_once.py")
    return 1 if twice or EXCEPTIONS.keys() - used else 0


if __name__ == "__main__":
    sys.exit(main())
