"""Engines: language models behind the port `ports.Engine`.

    transformers  a model in this process, through transformers; SmolLM2 by default
    scripted      completions that somebody wrote beforehand, for tests, demos and rehearsals

    context       text and completions → token ids, tokens → text, and the splice at a stop string
    slots         who may decode: admission in order of tickets
    sampling      the next token out of logits
    kv_cache      attention over keys and values that each slot keeps
    passes        forward passes of which every row gets the same bits whatever stands beside it
    decoding      the batched decode loop
    models        a name → a folder → a model in memory
    smollm2       the embedded model: fetched and converted once
    scripts       ready scripts for the scripted engine, and reading them from a file

Nothing heavy is imported here: torch and transformers come in when an engine is entered.
"""
