"""A run against references: accuracy, maj@k, pass@k, with intervals, tables and figures.

In: run logs and reference answers. Out: frames, tables, plots and JSON.
"""
