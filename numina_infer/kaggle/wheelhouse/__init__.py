"""Collects every wheel for an installation on Kaggle, where a kernel has no internet.

In: requirements and a target. Out: a flat folder of wheels with a lock of their hashes, checked by an installation.

- target.py: the interpreter; resolution.py: uv finds the wheels; download.py: fetches them, with resuming
- lock.py: the lock; wheelhouse.py: the plan of a folder
- wheel_files.py, offline_trial.py: read the finished folder, and install it without the network
"""
