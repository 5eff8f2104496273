"""The known competitions, and both sides of Kaggle's two APIs.

In: a competition's name, and the function that answers a problem. Out: a gateway that takes problems from the
competition and hands back the answers; in a rehearsal, also the competition's side of it.

`known.py` lists the competitions, `api_versions.py` how versions of Kaggle's package differ. `gateways/` is our side,
`mock/` is Kaggle's side for rehearsals, `wire/` has the gRPC messages between them. `two_processes.py` rehearses with
both sides in processes of their own, and `relay_faults.py` names what the mock can do wrong on purpose.
"""
