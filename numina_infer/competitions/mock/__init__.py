"""Kaggle's side of both competition APIs, what calls us, as strict as the real one."""
