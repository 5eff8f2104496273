"""The gRPC messages between Kaggle's relay and an inference server, which carry values of Python.

In: text, numbers, lists, frames, series and arrays. Out: the bytes of a message; and back.

This is our own implementation of what `kaggle_evaluation` (0.3.0 to 1.4.0) documents in its .proto file; it holds
nothing of that package, and both can be loaded in one process. Nothing that arrives is unpickled.
`messages.py` has the message types, `payloads.py` the values in them (`tabular.py` those of pandas, polars and numpy),
`grpc_channel.py` the settings of both ends.
"""
