"""vLLM's servers: planned, started, watched, restarted and ended here; spoken to through `engines.http`.

In: a model and how to serve it. Out: completions, and servers that end with this process or stay for the next.

    launch.py          which servers suit the model and this machine, and the command that starts each
    vllm_server.py     one server's process; keeper.py ends it and all it started, for certain
    server_place.py    its folder: socket, log, and a note of who keeps it
    server_group.py    servers that start and end together, and the command `serve`
    vllm_engine.py     the engine
    probe.py           the command `probe`: how fast they are
"""
