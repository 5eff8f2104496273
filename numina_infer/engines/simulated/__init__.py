"""Recorded samples at the pace of a modelled GPU, under virtual time.

In: recorded samples (samples.py) and the costs of a machine (machine_costs.py). Out: completions of the engine
(simulated_engine.py), in simulated seconds that pass as sequences decode together (running_batch.py).
"""
