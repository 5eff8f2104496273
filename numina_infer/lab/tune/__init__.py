"""A search over sampling parameters.

In: a search space and problems. Out: trials, and the setting to use.
"""
