"""Engines that fail on purpose, and a server that stands in for vLLM's. They are no part of the wheel.

In: a script, and which faults it shall have. Out: an engine that keeps the contract of `ports.Engine` as far as its
faults let it (faulty.py), and servers: stand_in.py in this process, stand_in_server.py as a process of its own that is
started as vLLM is, at the pace of a machine that isn't here (pace.py). http_server.py is the HTTP that they speak.
"""
