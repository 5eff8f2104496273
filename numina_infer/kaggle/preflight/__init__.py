"""What is looked at before a kernel solves anything: the machine, its GPUs, the inputs.

In: a kernel's settings. Out: lights, green to red, each with what to do.
"""
