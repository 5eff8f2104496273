"""Writes a run's trajectories as training data for TRL: supervised fine-tuning or KTO.

In: a run folder, and a problems file with answers. Out: a data set folder with Parquet and a card.
`export.py` writes it; `export_filter.py` says whether a trajectory is right, wrong or left out, `selection.py` selects
what is written, `training.py` has the columns of each kind of training, `chat_rows.py` and `token_rows.py` make the
rows, `dataset_folder.py` and `dataset_card.py` the folder and its card.
"""
