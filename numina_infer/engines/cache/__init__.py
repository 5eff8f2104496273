"""An engine around another engine, so that nothing is generated twice.

In: requests. Out: recorded replies where there are any, else those of the engine behind it.
"""
