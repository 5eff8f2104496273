"""The sandbox's child side: the zygote, its forks, and how each fork locks itself down before it runs hostile code.

In: messages from the host (`channel.py`). Out: the zygote's word on every child's end, and the children's own reports
(`program_report.py`), of which the host trusts nothing but the form.

`zygote.py` loads the libraries by `warmup.py` and forks. `program_child.py` confines a fork, by `limits.py` and by
`lockdown.py`, which uses `privileges.py`, `landlock.py` and `seccomp.py` (with `syscalls.py`); `startup_status.py`
notes whether a child got that far. `runner.py` then runs the programs, with `echo.py` for the value of a last
expression and `trace.py` for errors. `libc.py` makes the kernel calls that Python lacks.
"""
