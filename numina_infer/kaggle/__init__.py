"""Runs the library on Kaggle: the kernel behind the notebook, its preflight, and the folders that are uploaded.

In: a competition, a model, and what is attached to the notebook. Out: a submission with its run log; on a laptop, the
folders that Kaggle's client uploads. Everything here also runs on a laptop.

- kernel.py: what the notebook runs; place.py: where it runs and what is attached
- problem_source.py: the gateway or the rehearsal; kernel_log.py: `kernel.txt`
- wheel_prefix.py: reads a wheelhouse, and installs vLLM from it into an environment of its own
- preflight/: the checks before a run; build/: the folders to upload; wheelhouse/: wheels for an offline installation
- show_build.py: the output of `numina-infer kaggle …`

Kaggle's rules are those in the source of its command-line client (kaggle 2.2.4), which is never imported here.
"""
