"""vLLM's servers: planned, started, watched, restarted and ended here; spoken to through `engines.http`.

In: a model and how to serve it. Out: completions, and servers that end with this process or stay for the next.

    vllm_engine.py       the engine, and a group of servers that start and end together
    vllm_server.py       one server's process; keeper.py ends it and all it started, for certain
    launch.py, vllm_python.py          the command that starts it, and the interpreter that has vLLM
    server_place.py, server_log.py     its folder (socket, log, note), and what its log says
    serving/             the commands `serve` and `probe`, and which servers suit this machine
"""
