"""Scores runs against references: accuracy, maj@k and pass@k with intervals, lost votes, costs, comparisons.

In: run folders, and problems files with answers. Out: an `Evaluation`, and frames, tables, figures and JSON of it.
`evaluation.py` scores a run and compares two: `matching.py` finds the references, `marking.py` says which samples are
right, with `grading.py` (math-verify) for answers that aren't integers, `metrics.py` has maj@k, pass@k and intervals.
`frames.py` and `plots.py` show the result. `validation_sets.py` loads problems from the hub.
"""
