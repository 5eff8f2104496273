"""A recorded run, decided again under another policy.

In: a run log. Out: what would have been answered, and when it would have stopped.
"""
