"""The sandbox's child side: the zygote, its forks, and how each fork locks itself down before it runs hostile code.

In: messages from the host (`channel.py`). Out: the zygote's word on every child's end, and the children's own reports
(`program_report.py`), of which the host trusts nothing but the form.

`zygote.py` loads the libraries and forks. `program_child.py` confines a fork, by `lockdown.py` with the filter of
`seccomp.py`. `runner.py` then runs the programs. `libc.py` makes the kernel calls that Python lacks.
"""
