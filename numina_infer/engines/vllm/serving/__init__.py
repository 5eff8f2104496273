"""vLLM on this machine.

plan      a model's name → the servers to start for it: does it fit, in which layout
commands  `numina-infer serve`: start them, list them, end them
probe     `numina-infer probe`: what this machine's servers do in which time
"""
