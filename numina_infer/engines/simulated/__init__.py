"""Recorded samples at the pace of a modelled GPU, under virtual time.

In: recorded samples and a model of a server's costs. Out: completions, in simulated seconds.
"""
