"""Decides which answer wins, whether another can still overtake it, and how long a problem may take.

In: recorded events and the time. Out: a decision (start attempts, wait, or stop) and the winner.
`referee.py` decides, `ballot.py` counts votes and computes a rival's chance, `time_bank.py` shares out the contest's
time. All of it is pure, without I/O or a clock, so that a recorded run can be decided again.
"""
