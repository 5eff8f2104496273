"""From one problem to its solution, for a whole competition, within the time that there is.

In: problems from a gateway. Out: one integer for each.
`contest.py` takes each problem as it comes (`pending.py`) and replies in time, `solver.py` starts its attempts and
asks the referee, `rollout.py` plays one attempt into a draft. `supervised.py` starts engine and sandbox, and starts
them again when they break. `paper/` is the winning kernel's own way, for comparison.
"""
