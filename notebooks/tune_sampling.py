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

from numina_infer.lab.evaluation import evaluate
from numina_infer.lab.frames import calibration_frame, cost_frame, loss_frame, problem_frame, program_frame
from numina_infer.lab.plots import (
    plot_calibration,
    plot_curves,
    plot_lengths,
    plot_losses,
    plot_policies,
    plot_times,
)
from numina_infer.lab.reading import read_trajectory
from numina_infer.lab.recording import read_recording
from numina_infer.lab.replay import replay
from numina_infer.lab.replay_table import replay_frame
from numina_infer.lab.variant import sweep

RUN = Path("../tests/recorded_run")
REFERENCES = RUN / "problems.jsonl"

# %%
run = evaluate(RUN, REFERENCES)
problem_frame(run)

# %% [markdown]
# ## Read
# What the model wrote, the programs in it and what they printed. The fourth problem's first attempt:

# %%
read_trajectory(RUN, "warm-up-04", 0)

# %% [markdown]
# ## How often is it right?
# Of the verdicts, with a 95 % interval (Wilson's).

# %%
run.verdicts

# %% [markdown]
# maj@k is what a vote of k samples is worth, pass@k whether one of k is right.
# Both are exact means over all subsets of the recorded samples; shaded: two-level bootstrap, 95 %.
# The gap between them is what better voting could win.

# %%
plot_curves(run)

# %%
plot_calibration(run)

# %%
calibration_frame(run)

# %% [markdown]
# ## Where are votes lost?

# %%
loss_frame(run)

# %%
plot_losses(run)

# %% [markdown]
# ## What would another policy have given, and cost?
# The same recorded endings before the same referee. First as it was: every verdict must come out the same.

# %%
recording = read_recording(RUN)
replayed = replay(recording)
f"{replayed.num_as_recorded} of {len(replayed.problems)} as recorded"

# %%
policies = replay_frame(recording, [*sweep(num_samples=[4, 8, 12], epsilon=[0.0, 0.01, 0.05])], REFERENCES)
policies

# %%
plot_policies(policies)

# %% [markdown]
# ## Lengths, times, cost of a problem

# %%
cost_frame(run)

# %%
plot_lengths(run)

# %%
plot_times(run)

# %%
program_frame(run)

# %% [markdown]
# ## A small search
