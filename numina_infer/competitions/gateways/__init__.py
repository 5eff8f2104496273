"""Our side of both competition APIs, behind the one port `Gateway`.

In: the function that answers a problem. Out: answers, in the form and at the time that the competition asks for them.

`aimo_gateway.py` is for the 2024 API and `predict_gateway.py` for the one since 2025; `inference_server.py` serves
`predict` where Kaggle's package doesn't. `kaggle_gateway.py` chooses between these for a kernel, and
`competition_package.py` finds Kaggle's package.
"""
