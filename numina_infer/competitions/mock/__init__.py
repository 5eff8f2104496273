"""Kaggle's side of both competition APIs, for rehearsals: at least as strict as Kaggle's own.

In: a set of problems. Out: `submission.csv` and `submission.parquet`, or `result.json` with the reason for none.

`aimo.py` mocks the 2024 API. Since 2025: `examination.py` runs through the problems, `kaggle_evaluation.py` calls
`predict` in this process, `relay.py` with `relay_client.py` calls it over gRPC, and `tcp_proxy.py` breaks connections.
`reply_rules.py` says which replies are valid; `exam_state.py` and `submission.py` serve both APIs.
"""
