"""The wire between Kaggle's relay and an inference server: gRPC messages that carry Python's values.

An implementation of our own of what `kaggle_evaluation` (0.3.0 to 1.4.0) documents in its .proto file, so that the
two can talk to each other; nothing of the package is here, and it may be loaded beside this in one process.
Nothing that arrives is unpickled.
"""
