"""The records that travel between the rooms, the configs and presets, the ports, the clock and the errors.

In: nothing but Python. Out: what every other room may import; this one imports none of them.
"""
