"""The records that travel between the rooms, the configs and presets, the ports, the clock and the errors.

In: nothing but Python and anyio. Out: the words that the other rooms speak; this one imports none of them.
`records.py` and `events.py` are what a contest produces; `config.py`, `engine_config.py` and `presets.py` its
settings; `ports.py` the interfaces between rooms, with `Cutoff`; `clock.py` real and virtual time; `interrupt.py` a
Ctrl-C that waits; `help_formatter.py` the layout of `--help`; `errors.py` all exceptions.
"""
