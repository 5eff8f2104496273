"""Knows models before they are loaded: text format, shapes, bytes, and the GPUs on which they fit.

In: the name or the folder of a model, and the machine's devices. Out: its profile (text format, sampling, context
length, weights in bytes), and the layout over the GPUs that leaves enough KV cache.

- known_models.py: the models that are known by name; profiles.py finds one, or takes a folder for a fine-tune of one
- model_folder.py, weight_files.py, json_file.py: read a folder's config.json and the tables of its weights
- weights.py: shapes, quantisation, bytes of weights and KV; capability.py: which types a device computes
- gpus.py: the devices; fit.py: layouts and the choice; fit_report.py: `numina-infer fit`
"""
