"""Hostile programs against the sandbox, in namespaces where a success hurts nothing: `make test-attacks`."""
