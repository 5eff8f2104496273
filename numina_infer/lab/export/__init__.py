"""Trajectories as training data.

In: run logs. Out: a data set with its card, in the rows that TRL reads.
"""
