"""Collects every wheel for an installation on Kaggle, where a kernel has no internet.

In: a vLLM and a target. Out: a flat folder of wheels with a lock of their hashes, checked by an installation.

- resolution.py: the target, for which uv finds the wheels; download.py: fetches them, with resuming
- wheelhouse.py: the plan of a folder, and its lock
- offline_trial.py: reads the finished folder, and installs it without the network
"""
