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
# A placeholder with the settings of the real notebook.

# %%
COMPETITION = "aimo-1"
MODEL = ""
PRESET = ""

# %%
print(COMPETITION, MODEL, PRESET)
