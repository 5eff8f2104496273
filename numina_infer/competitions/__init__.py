"""The known competitions, and both sides of Kaggle's APIs.

In: the name of a competition. Out: a gateway that hands its problems over and takes the answers.
"""
