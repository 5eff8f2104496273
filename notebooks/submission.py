# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Submission
#
# Answers a competition's problems by tool-integrated reasoning and a vote.
# Committed, or on a laptop, it rehearses on a few problems; Kaggle's rerun of it is what is scored.
# Everything that happens is in `kernel.txt`, beside the submission.

# %% [markdown]
# ## What to run
# Competitions: `aimo-1`, `aimo-2`, `aimo-3`, or a `numina_infer.Competition` of your own.
# Empty values are found out: the model that is attached, the preset that suits the machine,
# the competition's own sample problems.

# %%
COMPETITION = "aimo-1"
MODEL = ""
PRESET = ""
PROBLEMS = ""
PROBE = False

# %% [markdown]
# ## The library
# On Kaggle it comes as a dataset of wheels, which go behind what the image has.

# %%
import sys
import zipfile
from pathlib import Path

UNPACKED = "/kaggle/tmp/numina-infer"
for ours in Path("/kaggle/input").glob("**/numina_infer-*.whl"):
    for wheel in ours.parent.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(UNPACKED)
sys.path.append(UNPACKED)

from numina_infer import Kernel

# %% [markdown]
# ## Look before you leap
# Green is fine, amber costs something, red costs the submission; each says what to do.
# Red ends a commit run here.

# %%
kernel = Kernel(COMPETITION, MODEL, PRESET, PROBLEMS)
preflight = kernel.examine()

# %% [markdown]
# ## The contest

# %%
summary = kernel.run()

# %% [markdown]
# ## What this machine does in which time
# For the first commit run on new hardware: some minutes more, with figures for `kernel.txt`.

# %%
if PROBE:
    kernel.probe()
