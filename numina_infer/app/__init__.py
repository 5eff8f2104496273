"""Where the parts of a contest are put together, for the command line, notebooks, kernels, searches and drills.

In: `Choices`, what a user wants, or a `Rehearsal` or a `Collection` with everything that defines one; and, for those
who bring their own, `Backends` with engine, sandbox and gateway. Out: an open contest, a submission, a run folder.

`choices.py` has the choices, the preset that they result in, and how the command line takes them; `composition.py`
makes what was chosen and puts all parts together; `tasks.py` has the runs that can be resumed, with their `run.json`,
and `rehearsal.py` and `collection.py` run them.
"""
