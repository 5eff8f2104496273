"""The run folder: its log, its reader, the problems of a run, and the displays and summaries for people.

In: events while a contest runs. Out: files that a run is resumed and replayed from, progress lines and summaries.
`log.py` writes events and shows them to observers, on threads of `background.py`; `history.py` reads them back through
`rows.py`, which checks every field. `progress.py` shows a run, `summary.py` sums it up, `problems.py` reads problems
files, `provenance.py` describes the machine.
"""
