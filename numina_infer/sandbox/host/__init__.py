"""The sandbox's host side: it asks for programs to be run, waits for them, and judges how they ended.

In: a program's text. Out: an `Execution`.

A program passes these files in order: `forking_sandbox.py` has the public `Sandbox` and the sessions, which take a
slot and a living zygote from `zygote_pool.py`; `forkserver.py` orders a child from that zygote; `process.py` reads the
child's output, up to a limit, and waits for its end, or kills it when `program_clock.py` says that its time is over;
`ending.py` decides the status and cleans the text.
`ladder.py` finds the lock-down that holds here, by `self_test.py`; `idle_kills.py` ends sessions at rest in turn.
"""
