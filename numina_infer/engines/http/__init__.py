"""The client of any server that speaks OpenAI's completions API.

In: prompts, and the servers' addresses. Out: completions as they stream in, from the server that has room.
"""
