"""The winning kernel's own rules, where they contradict ours: a baseline to compare with (`--paper`).

In: one problem. Out: what the winning notebook would have answered.
"""
