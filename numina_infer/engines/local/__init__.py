"""A model in this process, through transformers; SmolLM2 by default.

In: prompts. Out: completions that are the same whatever else is being decoded beside them.
"""
