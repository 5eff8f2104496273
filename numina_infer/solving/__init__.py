"""From one problem to its solution, for a whole competition, within the time that there is.

In: problems from a gateway. Out: one integer for each.
`contest.py` takes the problem, `solver.py` starts its attempts, `rollout.py` plays one attempt.
"""
