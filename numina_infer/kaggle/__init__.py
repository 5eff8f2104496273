"""What a competition on Kaggle needs around the contest.

The kernel and its datasets, built and checked before they are pushed, the wheels for an offline installation, and the
look around on the machine itself. Kaggle's rules are those of its command-line client (kaggle 2.2.4), as its source
states them; nothing here imports that client.
"""
