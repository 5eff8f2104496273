"""Writes a run's trajectories as training data for TRL: supervised fine-tuning or KTO.

In: a run folder, and a problems file with answers. Out: a data set folder with Parquet and a card.
`export.py` writes it, with the columns of each kind of training; `selection.py` says which trajectories are right or
wrong and selects them, `training_rows.py` makes messages and tokens of one, `dataset_card.py` writes the card.
`data/` has the card's texts and the chat template.
"""
