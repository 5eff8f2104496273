"""Engines: language models behind the port `core.ports.Engine`.

In: a trajectory's context, sampling parameters, a seed and a cutoff. Out: completions, and what went wrong meanwhile.

    http/                 the client of any OpenAI-compatible server: `OpenAIEngine`
    vllm/                 vLLM's servers, started, watched and restarted here: `VllmEngine`
    local/                a model in this process, through transformers: `TransformersEngine`
    simulated_engine.py   recorded samples at the pace of a machine that isn't here: `SimulatedEngine`
    simulated_machine.py  what that machine's steps cost, and how sequences decode together on it
    cached_engine.py      an engine around an engine, so that nothing is generated twice: `CachedEngine`
    scripted_engine.py    texts that somebody wrote beforehand, for tests, demos and rehearsals: `ScriptedEngine`

    context.py            a context → token ids; sampled tokens → text, with the splice where a stop string cuts it
    vocabulary.py         a model's tokens, read from its folder
    admission.py          which trajectory may decode where, counted in tokens of keys and values

No heavy package is imported here: torch and transformers are imported when an engine is entered.
"""
