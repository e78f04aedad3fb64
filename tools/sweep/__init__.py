"""Compares what `inspect` says of model files with what their own runtimes say.

``python -m tools.sweep [FOLDER ...]`` goes over the model files below some folders, by default the
installed packages. `run` decides what is wrong and prints it; `reference` is a process of its own,
which loads one file at a time in a format's own library, for those may crash.
"""
