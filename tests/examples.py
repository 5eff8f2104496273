"""How many examples a property takes: the profile's number, or fewer where one example is a whole contest."""

from hypothesis import settings


def at_most(num_examples: int) -> settings:
    """For a property whose examples are slow: the profile's number, and `num_examples` where that is more."""
    return settings(max_examples=min(num_examples, settings().max_examples))
