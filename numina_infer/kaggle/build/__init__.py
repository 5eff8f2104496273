"""Writes the folders that Kaggle's client uploads for a kernel, and checks them.

In: an owner, a competition and a model. Out: the kernel with its notebook and metadata, the dataset with this
package's wheels, templates for one's own model; or the findings of a check.

- push.py: the plan; build.py: writes the folders and their wheels; notebook.py: the notebook's settings
- metadata.py: Kaggle's metadata files and their rules; sources.py: names on Kaggle
- check.py: what is wrong with a folder
"""
