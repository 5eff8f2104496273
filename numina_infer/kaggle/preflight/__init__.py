"""Checks before a run starts that machine, GPUs and inputs will do.

In: a plan of the run. Out: a list of checks, each green, amber or red, with advice.

- machine.py: the plan, and a look at this machine
- preflight.py, gpu_checks.py: the rules; light.py: the result
"""
