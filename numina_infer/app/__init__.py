"""The one place where the parts are put together.

In: `Choices`. Out: a running contest, a rehearsal, a collection.
"""
