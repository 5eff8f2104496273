"""The client of any OpenAI-compatible server.

In: addresses and turns. Out: replies as they stream in, and endpoints that are dropped, repaired and used again.

    openai_api.py        the engine: asks each turn, again where it is lost
    endpoint_pool.py     all endpoints: their states, and who watches and repairs them
    endpoint.py          one endpoint: what it can do, whether it works, a turn played on it
    wire.py              a turn as a request, the pieces of its reply, and the completion made of them
    address.py           where a server listens, and the HTTP client that reaches it
"""
