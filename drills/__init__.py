"""Drills: contests in which something goes wrong on purpose, and a judge of what came of it (docs/drills.md).

A fault says what it does and what may come of it; a drill plays one contest with one or several of them; the judge
compares what was expected with what was seen. The library never imports this.
"""
