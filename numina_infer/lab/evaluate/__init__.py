"""Scores runs against references: accuracy, maj@k and pass@k with intervals, lost votes, costs, comparisons.

In: run folders, and problems files with answers. Out: an `Evaluation`, and frames, tables, figures and JSON of it.
`evaluation.py` scores a run: `matching.py` finds the references, `marking.py` says which samples are right, with
`grading.py` and `grading_worker.py` (math-verify) for answers that aren't integers. `metrics.py` has maj@k and pass@k,
`intervals.py` their intervals, `calibration.py` how far a vote can be trusted, `comparison.py` two runs.
`frames.py`, `plots.py` and `tables.py` show the result, `reading.py` shows one trajectory. `validation_sets.py` loads
problems from the hub.
"""
