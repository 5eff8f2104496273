"""The records that travel between the rooms, the configs and presets, the ports, the clock and the errors.

In: nothing but Python and anyio. Out: the words that the other rooms speak; this one imports none of them.
`records.py` and `events.py` are what a contest produces; `config.py`, `engine_config.py` and `presets.py` its
settings; `ports.py` the interfaces between rooms, with `Cutoff`; `clock.py` real and virtual time; `slots.py` queues
for places; `restarts.py` opening, and starting again; `terminal.py` Ctrl-C and `--help`; `errors.py` all exceptions.
"""
