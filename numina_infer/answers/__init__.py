"""From a final text to the integer it states, or the reason why there is none.

In: what a model wrote. Out: `extract.extract_answer` → `ExtractedAnswer`.
`extract.py` asks `boxes.py` and `sentences.py` for the place where the answer stands; `expression.py` reads the number
that stands there.
"""
