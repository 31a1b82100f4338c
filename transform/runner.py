"""Which of Beam's runners runs a pipeline on this machine."""

IN_PROCESS = "FnApiRunner"
"""Name of the runner that runs a pipeline in this process.

Beam's default, DirectRunner, tries Prism before it falls back to this one: it downloads
a program from GitHub, without a timeout and without a check of what has come.
"""
