# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a run to a decision
#
# Reads a recorded run, shows where its votes come from and where they are lost, decides it again under other policies,
# and searches sampling parameters.
# The run that comes with it is of a small model on warm-up problems: it shows the machinery, not the mathematics.
# `docs/tuning.md` tells what each figure means; a change of two problems in fifty is noise.

# %% [markdown]
# ## A run
# Any run folder will do: of `numina-infer collect`, `rehearse`, or of a kernel on Kaggle.
# The preset `collect` is the one to record with: every sample comes to its end, so that all policies can be replayed.

# %%
from pathlib import Path
from tempfile import mkdtemp

from numina_infer import lab

RUN = Path("../tests/recorded_run")
REFERENCES = RUN / "problems.jsonl"

# %%
run = lab.evaluate_run(RUN, REFERENCES)
lab.frames.problem_frame(run)

# %% [markdown]
# ## Read
# What the model wrote, the programs in it and what they printed. The fourth problem's first attempt:

# %%
lab.read_trajectory(RUN, "warm-up-04", 0)

# %% [markdown]
# ## How often is it right?
# Of the verdicts, with a 95 % interval (Wilson's).

# %%
run.verdicts

# %% [markdown]
# maj@k is what a vote of k samples is worth, pass@k whether one of k is right.
# Both are exact means over all subsets of the recorded samples; shaded: Student's t over problems, 95 %.
# The gap between them is what better voting could win.

# %%
lab.plots.plot_curves(run)

# %%
lab.plots.plot_calibration(run)

# %%
lab.frames.calibration_frame(run)

# %% [markdown]
# ## Where are votes lost?

# %%
lab.frames.loss_frame(run)

# %%
lab.plots.plot_losses(run)

# %% [markdown]
# ## What would another policy have given, and cost?
# The same recorded endings before the same referee. First as it was: every verdict must come out the same.

# %%
recording = lab.read_recording(RUN)
lab.replay_run(recording)

# %%
policies = lab.replay_frame(recording, [*lab.sweep(num_samples=[4, 8, 12], epsilon=[0.0, 0.01, 0.05])], REFERENCES)
policies

# %%
lab.plots.plot_policies(policies)

# %% [markdown]
# ## Lengths, times, cost of a problem

# %%
lab.frames.cost_frame(run)

# %%
lab.plots.plot_lengths(run)

# %%
lab.plots.plot_times(run)

# %%
lab.frames.program_frame(run)

# %% [markdown]
# ## A small search
# Settings are tried on a few problems first, and only those that may be the best get more.
# Completions are kept, so whatever was generated once isn't generated again: run the cell twice and see.
# Here it is the embedded model, two settings, four samples of three problems; `numina-infer tune --help` has the rest.

# %%
tuning = lab.Tuning(
    str(REFERENCES.absolute()),
    lab.Choices(preset="cpu", cache=str(Path("~/.cache/numina-infer/tune-sampling").expanduser())),
    lab.SearchSpace({"temperature": "0.3,0.9"}),
    num_samples=(2, 4),
    num_trials=2,
    heats=(3,),
)
SEARCH = Path(mkdtemp(prefix="numina-infer-")) / "search"
lab.search(tuning, SEARCH)

# %% [markdown]
# ## Two runs beside each other
# Every setting of a search is a run folder, as is anything that `collect` made: they are compared in pairs,
# on the problems that both have.

# %%
comparison = lab.compare(*[lab.evaluate_run(folder) for folder in sorted(SEARCH.glob("settings/*/*"))])
comparison

# %%
lab.plots.plot_comparison(comparison)
