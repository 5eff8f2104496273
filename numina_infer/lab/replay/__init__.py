"""Decides a recorded run again, under its own policy or another.

In: a run folder, and what to change of its policy, answer range or time bank. Out: the verdict that each problem would
have had, and a table or frame of many policies.
`recording.py` reads the log and its preset; `variant.py` says what is changed; `replay.py` replays, by
`replay_referee.py` problem by problem; `replay_table.py` shows the result.
"""
