# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Try sampling parameters
#
# Solve a problem under two settings, look at the trajectories, and see where votes are lost.
# The embedded model is small: it shows the machinery, not the mathematics.

# %%
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from numina_infer import Choices, read_run, solve

PROBLEM = "What is 815 minus 368?"
SETTINGS = {"greedy": Choices(num_samples=1, temperature=0.0), "sampled": Choices(num_samples=4, temperature=0.6)}
FOLDER = Path(mkdtemp(prefix="numina-infer-"))

# %% [markdown]
# ## Solve
# Each setting leaves a run folder; `read_run` reads any other just as well, such as one of `numina-infer rehearse`.

# %%
solutions = {name: solve(PROBLEM, choices, folder=FOLDER / name) for name, choices in SETTINGS.items()}
{name: (solution.answer, dict(solution.votes)) for name, solution in solutions.items()}

# %% [markdown]
# ## Read
# One row a trajectory: how it ended, what it answered, or why it has no vote.

# %%
runs = {name: read_run(FOLDER / name) for name in SETTINGS}
runs["sampled"].trajectories[["index", "outcome", "answer", "no_answer", "raw_answer", "num_turns", "num_tokens"]]

# %%
print("\n".join(runs["sampled"].turns["completion"].head(2)))

# %% [markdown]
# ## Compare
# Programs by how they ended, a column a setting.

# %%
pd.DataFrame({name: run.turns["status"].value_counts() for name, run in runs.items()}).fillna(0).astype(int)
