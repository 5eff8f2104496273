"""Values that a relay's wire carries, and one that must never be unpickled."""

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]))
integers = st.integers(-(2**63), 2**63 - 1)
values = st.none() | st.booleans() | integers | st.floats(width=32, allow_nan=False) | texts


class Bomb:
    """Goes off when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise AssertionError('unpickled')",)
