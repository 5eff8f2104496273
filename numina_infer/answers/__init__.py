r"""Reads the final text of a model as the integer that it states, or says why it states none.

In: a text, and the range of integers that the competition takes. Out: `extract.extract_answer` → `ExtractedAnswer`.
No rule votes for a number that the text doesn't state; where that is in doubt, there is no vote.

The way from a text to an integer:

1. `extract.py` looks for the place where the text says its answer: a box, else a sentence, a heading, a tag or
   `#### 42` (`sentences.py`). It looks from the end, in linear time, and leaves out programs and their outputs.
2. The words behind the number are judged (`behind.py`): `42, since n = 6` keeps it, `42 or 43` doesn't. `units.py`
   knows the words that scale or count a number, or limit it to a case or a base.
3. `expression.py` reads the text in that place. `typography.py` cleans it (fonts, spaces, markdown, commas),
   `arithmetic.py` computes it as an exact fraction (`exact.py`).
4. The range says whether the integer is a vote (`AnswerRange.place`).

`references.py` reads the answers of a problems file in the same way.
"""
