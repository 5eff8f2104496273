"""Real servers for the tests: vLLM's CPU build with the tiny model."""
