"""The run folder: its log, its reader, the problems of a run, and the displays and summaries for people.

In: events while a contest runs. Out: files that a run is resumed and replayed from, progress lines and summaries.
`log.py` writes events and `history.py` reads them back through `rows.py`, which checks every field. `observers.py`
passes events on to log and observers, on threads of `background.py`; `progress.py` shows them. `summary.py` and
`collection_summary.py` sum a run up, `problems.py` reads problems files, `provenance.py` describes the machine.
"""
