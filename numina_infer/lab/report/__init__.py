"""A run as one HTML page without a network.

In: a run log. Out: the page; hostile text in it stays text.
"""
