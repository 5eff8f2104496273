"""What is Kaggle's own about a run: where it is, what is attached to it, what its machine can do, what it is made of.

Everything here works on a laptop too, where most of it finds nothing; what was measured of Kaggle's side stands in
docs/kaggle.md.
"""
