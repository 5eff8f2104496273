"""A model in this process, through transformers; SmolLM2 by default.

In: prompts. Out: completions that are the same bits whatever else is decoded at the same time.

    transformers_engine.py   the engine
    decoding.py              a slot's turns, the batched decode loop, and the draw of the next token
    passes.py                forward passes whose rows don't influence each other, over each slot's keys and values
    models.py, smollm2.py    a name → a folder → a model in memory; the default model, fetched and converted once
"""
