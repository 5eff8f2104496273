"""Wheels for Kaggle's interpreter, since a kernel has no internet.

In: requirements. Out: a folder of wheels that was installed offline once, with a lock of their hashes.
"""
