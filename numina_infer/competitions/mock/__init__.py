"""Kaggle's side of both competition APIs, for rehearsals: at least as strict as Kaggle's own.

In: a set of problems. Out: `submission.csv` and `submission.parquet`, or `result.json` with the reason for none.

`exam.py` serves both APIs, `aimo.py` mocks that of 2024. Since 2025: `kaggle_evaluation.py` has the rules, and calls
`predict` in this process; `relay.py` with `relay_client.py` calls it over gRPC.
"""
