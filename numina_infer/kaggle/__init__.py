"""What is Kaggle's own about a run: where it is, what is attached to it, what its machine can do, what it is made of.

The kernel and its datasets are built and checked here before they are pushed, and the machine is looked at on itself.
Everything here works on a laptop too, where most of it finds nothing.
Kaggle's rules are those of its command-line client (kaggle 2.2.4), as its source states them; nothing here imports
that client.
"""
