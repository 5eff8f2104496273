"""The TIR formats: how each family of models is asked, where its turn ends, and how outputs are written back.

In: a problem's statement, completions of the model, results of programs. Out: a prompt, the program to run, the text
that follows the completion; every format is a `ports.Format`, and `catalogue.py` finds it by its name.
A format repeats to the letter what a model was trained on, so its strings are those of the cited sources.

`fences.py` is the shape that most formats share: it finds programs in a text and makes outputs harmless.
`numina.py`, `math_instruct.py` (DeepSeekMath, Qwen2.5-Math, OpenMath) and `chat.py` (any chat template) are the
formats.
"""
