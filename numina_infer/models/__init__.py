"""What a model is made of, what the known ones need, and on which GPUs they fit.

In: a model's folder, and what the machine has. Out: weights and the KV cache in bytes, layouts, a report of the fit.
"""
