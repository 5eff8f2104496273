"""Searches sampling parameters, prompt format and depth, with as few problems as will do.

In: a `Tuning`, which is a search space, problems with answers and choices. Out: a folder of runs that can be resumed,
and a `TuningReport`.
`search.py` runs the search and asks Optuna for settings, `search_space.py` reads the values to try, `tuning_folder.py`
is the definition on disk, `tuning_report.py` the results.
"""
