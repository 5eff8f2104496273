"""The side of the sandbox that asks: it starts the zygote, hands programs over and reads what they printed.

In: a program's text. Out: an `Execution`.
"""
