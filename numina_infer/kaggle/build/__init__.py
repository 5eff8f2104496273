"""Writes the folders that Kaggle's client uploads for a kernel, and checks them.

In: an owner, a competition and a model. Out: the kernel with its notebook and metadata, the dataset with this
package's wheels, templates for one's own model; or the findings of a check.

- push.py: the plan; build.py: writes the folders; notebook.py: its settings; own_wheels.py: the dataset's wheels
- metadata.py, metadata_file.py: Kaggle's metadata files and their rules; sources.py: names on Kaggle
- check.py, kernel_check.py, findings.py: what is wrong with a folder
- shipped.py: files of the checkout that the wheel has too; new_folder.py: undoes what a failed build made
"""
