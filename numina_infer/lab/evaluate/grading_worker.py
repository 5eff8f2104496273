"""The process in which math-verify compares answers, one request a line in, one reply a line out, both JSON.

Run as `python -P -m numina_infer.lab.evaluate.grading_worker TIMEOUT_S MEMORY_BYTES`, by `grading.py` alone.
math-verify guards itself with an alarm, which works in a main thread only, and not while one large power is computed.
So this is a process of its own, with the kernel's limits, and `grading.py` kills it when a reply is overdue.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import IO, Any

_MAX_CHARACTERS = 2000
"""Of one answer; longer ones aren't looked at."""


def main(timeout_s: int, memory_bytes: int) -> None:
    """Answer requests until there are no more."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's prints aren't replies
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    compare = _comparer(max(1, timeout_s // 3))
    _say(replies, {"ready": True})
    for line in sys.stdin:
        # The kernel ends a computation that goes on after the parent has gone.
        resource.setrlimit(resource.RLIMIT_CPU, (int(_cpu_seconds()) + 2 * timeout_s, resource.RLIM_INFINITY))
        request = json.loads(line)
        _say(replies, compare(request["gold"], request["answer"]))


def _comparer(alarm_s: int) -> Callable[[str, str], dict[str, object]]:
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    @lru_cache(maxsize=512)
    def read(text: str) -> list[Any]:
        return list(parse(_as_math(text), parsing_timeout=alarm_s, raise_on_error=True))

    def compare(gold: str, answer: str) -> dict[str, object]:
        if max(len(gold), len(answer)) > _MAX_CHARACTERS:
            return {"reason": f"longer than {_MAX_CHARACTERS} characters"}
        try:
            sides = {name: read(text) for name, text in (("reference", gold), ("answer", answer))}
            unread = [name for name, side in sides.items() if not side]
            if unread:
                return {"reason": f"the {unread[0]} can't be read"}
            same = verify(sides["reference"], sides["answer"], timeout_seconds=alarm_s, raise_on_error=True)
        except (Exception, TimeoutException) as error:  # noqa: BLE001 - after any error they weren't compared
            return {"reason": type(error).__name__}
        return {"same": bool(same)}

    return compare


def _as_math(text: str) -> str:
    """math-verify reads LaTeX only where it is marked as such."""
    return text if "$" in text or r"\boxed" in text else f"${text}$"


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(replies: IO[str], reply: dict[str, object]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
