"""Knows models before they are loaded: text format, shapes, bytes, and the GPUs on which they fit.

In: the name or the folder of a model, and the machine's devices. Out: its profile (text format, sampling, context
length, weights in bytes), and the layout over the GPUs that leaves enough KV cache.

- profiles.py: the models that are known by name, and how a folder is taken for a fine-tune of one
- model_folder.py: reads a folder's config.json and the tables of its weights
- weights.py: shapes, quantisation, bytes of weights and KV
- gpus.py: the devices; fit.py: what they compute, layouts and the choice; fit_report.py: `numina-infer fit`
"""
