"""The run folder: its log, its reader, the problems of a run, and what people see of it.

In: events while a contest runs. Out: files that a run is resumed and replayed from, progress lines and summaries.
"""
