"""The TIR formats: how each family of models is asked, where it stops, and how an output is written back.

Every one is a `ports.Format`. `fenced.py` is the shape that most share, `catalogue.py` finds one by name.
A format is what a model was trained on, to the letter, so the strings are those of the cited sources.
"""
