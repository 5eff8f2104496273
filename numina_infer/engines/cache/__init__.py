"""An engine around another engine, so that nothing is generated twice.

In: turns. Out: recorded completions where there are any, else those of the engine inside.
`cached.py` is the engine, `cache_key.py` what a completion is found by, `cache_folder.py` completions on disk.
"""
