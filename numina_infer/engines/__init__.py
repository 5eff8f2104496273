"""Engines: language models behind the port `ports.Engine`.

    transformers  a model in this process, through transformers; SmolLM2 by default
    vllm          vLLM's servers, started and watched here, and the client that speaks to them
    openai_api    the client of any OpenAI-compatible server
    scripted      completions that somebody wrote beforehand, for tests, demos and rehearsals

    vocabulary    a model's tokens, read from its folder
    context       text and completions → token ids, tokens → text, and the splice at a stop string
    slots         who may decode: admission in order of tickets
    sampling      the next token out of logits
    kv_cache      attention over keys and values that each slot keeps
    passes        forward passes of which every row gets the same bits whatever stands beside it
    decoding      the batched decode loop
    models        a name → a folder → a model in memory
    smollm2       the embedded model: fetched and converted once
    address, socket_transport       where a server listens, and HTTP to it
    wire, reply                     one turn on the wire; its reply as it streams in
    endpoint, pool                  what a server can do and whether it lives; all of them, watched
    admission                       who may decode where, counted in tokens of keys and values
    launch, vllm_python             what starts a vLLM server
    vllm_server, keeper             one server; the process that ends it for certain
    server_place, server_log        where it lives on disk; what its log says
    stand_in, http_server           a fake of vLLM's server, for tests

    cached, cache_key, cache_folder an engine around an engine that generates nothing twice
    faulty        an engine around an engine that breaks on purpose, for drills
    scripts       ready scripts for the scripted engine, and reading them from a file

Nothing heavy is imported here: torch and transformers come in when an engine is entered.
"""
