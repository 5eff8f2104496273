"""Kaggle's side of both competition APIs, in process: what calls us, as strict as the real one."""
