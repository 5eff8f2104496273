"""vLLM servers of our own: started, watched, started again, and ended for certain.

In: a layout of models on GPUs. Out: addresses for `engines/http`.
"""
