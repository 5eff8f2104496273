"""The known competitions, and both sides of Kaggle's two APIs.

In: a competition's name, and the function that answers a problem. Out: a gateway that takes problems from the
competition and hands back the answers; in a rehearsal, also the competition's side of it.

`known.py` lists the competitions, `api_versions.py` how versions of Kaggle's package differ.
Our side: `gateways.py` answers through both APIs, `kaggle_package.py` does so through Kaggle's own module, and
`inference_server.py` serves `predict` where that is missing. `messages.py` and `payloads.py` are what the two sides
send each other over gRPC. `mock/` is Kaggle's side, and `two_processes.py` rehearses with it in a process of its own.
"""
