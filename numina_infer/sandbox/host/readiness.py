"""Whether a child got as far as its program: told in a page that no program ever sees.

The child shares it with the zygote, says there why it could not be made ready, and unmaps it before its first program
begins. So what stands in it is the word of our own code, and whatever fails later is the program's failure.
"""

import mmap

_BEGUN, _FAILED = 1, 2
_SILENT = "it ended before its program began"


class Readiness:
    """One child's page: `fail` and `begin` are for the child, the rest is for the zygote."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def fail(self, why: str) -> None:
        """Say why the child can't be made ready."""
        text = why.encode("utf-8", "replace")[: mmap.PAGESIZE - 1]
        self._page[: 1 + len(text)] = bytes([_FAILED]) + text

    def begin(self) -> None:
        """Note that the program begins, for good: the page is gone from this process."""
        if not self._page.closed:
            self._page[0] = _BEGUN
            self._page.close()

    def hide(self) -> None:
        """Keep the page out of children that are forked later."""
        self._page.madvise(mmap.MADV_DONTFORK)

    def close(self) -> str:
        """Give the page up; returns why the program never began, which is empty if it did."""
        state, text = self._page[0], self._page[1:].rstrip(b"\0").decode("utf-8", "replace")
        self._page.close()
        return "" if state == _BEGUN else text or _SILENT
