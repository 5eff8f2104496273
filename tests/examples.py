"""How many examples a property takes whose every example is a whole contest, or as slow as one."""

from hypothesis import settings

_IN_CI = 100
"""What other properties take there."""


def costly(num_in_ci: int) -> settings:
    """`num_in_ci` examples in CI, and as much less as other properties have elsewhere."""
    most = settings().max_examples
    return settings(max_examples=num_in_ci if most >= _IN_CI else max(2, num_in_ci * most // _IN_CI))
