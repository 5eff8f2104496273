"""vLLM on this machine, for the commands that start and measure it.

In: a model's name. Out: the servers to start for it (server_plan.py), servers that stay up (serve.py), and how fast
they are (probe.py, timed by stopwatch.py).
"""
