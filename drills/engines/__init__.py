"""Engines that fail on purpose, and a server that stands in for vLLM's.

In: a script, and what is to go wrong. Out: an engine that obeys `ports.Engine`'s contract as far as the fault lets it.
They are no part of the wheel.
"""
