"""The winning kernel's own rules, where they contradict ours: a baseline to compare with (`--paper`).

In: one problem. Out: the answer that the winning notebook would have given.
`paper_solver.py` drives the samples round by round, `rules.py` judges a text and reads its answer.
"""
