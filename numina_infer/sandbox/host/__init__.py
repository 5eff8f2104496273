"""The sandbox's host side: it asks for programs to be run, waits for them, and judges how they ended.

In: a program's text. Out: an `Execution`.

A program passes these files in order: `session.py` takes a slot and a living zygote from `zygote_pool.py`;
`forkserver.py` orders a child from that zygote, through the queue in `outbox.py`; `process.py` waits for the child's
end, or kills it when `program_clock.py` says that its time is over; `capture.py` reads its output, up to a limit;
`ending.py` decides the status and cleans the text.
`forking_sandbox.py` opens all this, and `ladder.py` finds the lock-down that holds here, by `self_test.py`.
"""
