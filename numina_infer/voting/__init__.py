"""Which answer wins, whether another one can still overtake it, and how long a problem may take.

In: recorded events and remaining time. Out: a decision: start another attempt, wait, or stop (`referee.py`), and the
winner. All of it is pure: no I/O, no clock, so a recorded run can be decided again.
"""
