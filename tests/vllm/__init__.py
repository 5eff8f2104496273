"""Tests on a real vLLM server; `make test-vllm` runs them."""
